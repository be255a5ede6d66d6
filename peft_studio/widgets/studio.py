"""The studio's shell: the steps of the workflow as tabs, each with its own content inside, over one comm."""

from __future__ import annotations

from functools import partial
from typing import Any

from peft_studio.widgets._code import opening
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._panel import Panel, built
from peft_studio.widgets._steps import START, STEPS, find_step
from peft_studio.widgets._text import plain


class StudioPanel(Panel):
    """``studio.show()``."""

    def __init__(self, studio: Host) -> None:
        super().__init__(StudioContent(studio), inner={name: partial(_make, studio, name) for name in STEPS})


def _make(studio: Host, name: str) -> Content:
    return find_step(name).find_class()(studio)


class StudioContent(Content):
    """Which steps there are, which one is shown, and what is chosen."""

    module = "studio"
    interval_s = 0.4  # for what code chooses; what is clicked is shown at once

    def __init__(self, studio: Host) -> None:
        self._studio = studio

    def __repr__(self) -> str:
        return "StudioPanel()"

    def sections(self) -> dict[str, Any]:
        """Steps, the one shown, and the session in a line."""
        now = self._studio.session.now
        return {
            "steps": [{"name": step.name, "title": step.title} for step in STEPS.values()],
            "panel": self._shown(),
            "chosen": {
                "model": plain(now.model, limit=200) if now.model else None,
                "data": plain(now.data.ref.origin, limit=200) if now.data else None,
                "run": now.run_id,
            },
            "code": f"{opening(self._studio.home)}studio.show()",
        }

    def snapshot_html(self) -> str:
        """The step that was shown when the notebook was saved."""
        return _make(self._studio, self._shown()).snapshot_html()

    def _shown(self) -> str:
        panel = self._studio.session.now.panel
        return panel if panel in STEPS else START

    @command
    def go(self, panel: str) -> None:
        """Show another step, in every view of this kernel."""
        self._studio.session.choose(panel=find_step(panel).name)

    @command
    def load(self, panel: str = "") -> dict[str, str]:
        """The front end of a step, or of the one shown: a whole module and its style sheet, as text."""
        step = find_step(panel or self._shown())
        return {"panel": step.name, "esm": built(f"{step.module}.js"), "css": built(f"{step.module}.css")}
