"""What a notebook shows: one AnyWidget a panel. Readers of the core; imported only when something is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft_studio.widgets._panel import Panel

PANELS = ("run",)


def open_panel(name: str, run: Any, *, retry: Callable[[dict[str, Any]], Any] | None = None) -> Panel:
    """A panel by its name. ``retry`` starts the run's spec again with fields changed and returns the new run.

    Raises:
        StudioError: The front end of this checkout has not been built.
        KeyError: There is no panel of that name.
    """
    from peft_studio.widgets.run import RunPanel

    return {"run": RunPanel}[name](run, retry=retry)


__all__ = ["PANELS", "open_panel"]
