"""What a notebook shows: one AnyWidget a panel, and the studio that holds them all. Imported only when something is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft_studio.widgets._feed import ERRORS
from peft_studio.widgets._steps import STEPS, Step, find_step, register

if TYPE_CHECKING:
    from peft_studio.widgets._content import Content
    from peft_studio.widgets._host import Host
    from peft_studio.widgets._panel import Panel


def open_panel(studio: Host, name: str | None = None, run_id: str | None = None) -> Panel:
    """The whole studio, or one of its panels by name. The Run panel of a ``run_id`` is of that run for good; the others show
    the run of the session, which it becomes.

    Raises:
        StudioError: There is no panel of that name, or the front end of this checkout has not been built.
        RunNotFound: There is no such run.
    """
    if name is None:
        from peft_studio.widgets._sidebar import show_in_sidebar
        from peft_studio.widgets.studio import StudioPanel

        panel = StudioPanel(studio)
        show_in_sidebar(studio, panel)
        return panel
    from peft_studio.widgets._panel import panel_class

    step = find_step(name)
    if name == "run" and run_id is not None:
        from peft_studio.widgets.run import open_run

        content: Content = open_run(studio, run_id)
    else:
        if run_id is not None:
            studio.session.choose(run_id=studio.run(run_id).id)
        content = step.find_class()(studio)
    return panel_class(content.module)(content)


__all__ = ["ERRORS", "STEPS", "Step", "find_step", "open_panel", "register"]
