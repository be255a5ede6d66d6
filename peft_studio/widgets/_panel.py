"""The widget: shows one content, and inside a shell several, over one comm.

A message about a panel inside the shell carries its name as ``panel``; the shell's own carry none.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import anywidget

from peft_studio.core.errors import StudioError
from peft_studio.widgets._content import Content
from peft_studio.widgets._feed import Feed
from peft_studio.widgets._refresh import REFRESHER

STATIC = Path(__file__).parent / "static"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


@cache
def built(name: str) -> str:
    """A file that the front-end build made.

    Raises:
        StudioError: The panels of this checkout have not been built.
    """
    path = STATIC / name
    if not path.is_file():
        raise StudioError(
            f"The panels have not been built: {name} is missing from {STATIC}.",
            hint="Run `python hatch_build.py` in the checkout; an installed wheel has them.",
        )
    return path.read_text(encoding="utf-8")


class Panel(anywidget.AnyWidget):
    """A panel as a plain widget. ``inner`` makes the contents that its front end may open inside it, by name."""

    def __init__(self, content: Content, *, inner: Mapping[str, Callable[[], Content]] | None = None) -> None:
        self._esm, self._css = built(f"{content.module}.js"), built(f"{content.module}.css")
        super().__init__()
        self.content = content
        self._inner = inner or {}
        self._feeds: dict[str, Feed] = {}
        self._opening = threading.Lock()
        self._display_id = uuid.uuid4().hex
        self._displayed = self._picture_open = False  # open: made of something unsettled
        self.on_msg(self._receive)
        take_clicks_during_cells(self.comm)
        self._feeds[""] = Feed(content, self.send, after=self._after_refresh)

    def __repr__(self) -> str:
        return repr(self.content)

    @property
    def code(self) -> str:
        """The Python that does what this panel does now: what *Show code* shows."""
        return str(self._feeds[""].read("code") or "")

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if not isinstance(message, dict):
            return
        name = message.get("panel") or ""
        if not name and message.get("word") == "gone":  # the cell was run again, or its notebook closed
            for feed in list(self._feeds.values()):
                feed.look("gone")
            return
        with self._opening:  # messages may come on two threads at once, and a panel has one feed
            if name not in self._feeds and name in self._inner:
                self._feeds[name] = Feed(self._inner[name](), self._sender(name))
        if name in self._feeds:
            self._feeds[name].receive(message)

    def _sender(self, panel: str) -> Callable[[dict[str, Any], list[bytes]], None]:
        def send(message: dict[str, Any], blocks: list[bytes]) -> None:
            self.send({**message, "panel": panel}, blocks)
            if message["kind"] == "reply":  # the click inside may have gone to another step
                REFRESHER.watch(self._feeds[""])

        return send

    # -- where there is no browser, or no kernel --------------------------------------------------------------

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if html := self._feeds[""].snapshot():
            bundle["text/html"] = html
        if self._view_name is not None:
            bundle[WIDGET_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return bundle

    def _ipython_display_(self) -> None:
        """Display under an id, so that the picture saved in the notebook can be brought up to date."""
        from IPython.display import display

        bundle = self._repr_mimebundle_()
        display(bundle, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]
        self._displayed, self._picture_open = True, self.content.unsettled
        catch_up_after_cells(self)

    def _after_refresh(self, content: Content) -> None:
        """When something has ended, replace the picture that the notebook saves. The front end draws the panel anew."""
        if not content.picture_due:
            return
        content.picture_due = False
        if self._displayed:
            self._replace_picture()

    def _replace_picture(self) -> None:
        from IPython.display import update_display

        self._picture_open = self.content.unsettled
        bundle = self._repr_mimebundle_()
        update_display(bundle, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]

    def catch_up(self) -> None:
        """Replace a picture that was made of something unsettled, if that has settled. Called on the thread that runs cells."""
        if self._picture_open:
            self._feeds[""].refresh()  # which may replace it
        if self._picture_open and not self.content.unsettled:
            self._replace_picture()

    def close(self) -> None:
        """End the panel in every view."""
        self._picture_open = False
        for feed in list(self._feeds.values()):
            feed.close()
        super().close()


@cache
def panel_class(module: str) -> type[Panel]:
    """One widget class a front end: anywidget keeps one style sheet a class in a page."""
    return type(f"{module.capitalize()}Panel", (Panel,), {"__module__": __name__, "__doc__": f"The {module} panel."})


_shown: weakref.WeakSet[Panel] = weakref.WeakSet()


def catch_up_after_cells(panel: Panel) -> None:
    """Look at a panel's picture whenever a cell has run, before the cell counts as ended.

    A cell that waits for a run ends when the run does, a moment before our own thread has noticed. A front end takes
    a new picture at any time; what runs a notebook without one (nbconvert, papermill, nbval) only during a cell.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.events.register("post_run_cell", _catch_up)  # once, however often
        _shown.add(panel)


def _catch_up(*_: object) -> None:
    for panel in list(_shown):
        panel.catch_up()


def take_clicks_during_cells(comm: Any) -> None:
    """Let the front end choose the thread that a click is handled on.

    ipykernel 7.4 sends a widget's messages to the shell from which the kernel last wrote to it, which is the one that
    runs cells: a click made while a cell runs then waits for it. Without this private hook (other versions)
    everything works, and clicks wait.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default
