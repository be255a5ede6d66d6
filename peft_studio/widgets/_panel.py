"""The base of every panel: updates to the browser, commands from it, and what a saved notebook shows.

Owns the protocol that ``frontend/bridge`` speaks; knows nothing of runs. Messages from here:

    update    n, full, sections, streams     what has changed since the last one; ``full`` holds everything
    reply     id, ok, value | problem        the answer to a command

and from the browser ``command`` with id, name and args. Jupyter drops messages silently when too many come at once,
and a page that is loaded again has heard none: updates are numbered, at most 20 a second, and a browser that misses
one asks for a full one (``pull``).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anywidget

from peft_studio.core.errors import StudioError
from peft_studio.widgets._refresh import REFRESHER
from peft_studio.widgets._text import plain

STATIC = Path(__file__).parent / "static"
KEYFRAME_S = 10.0  # a page that was loaded again while a cell runs cannot ask; it is right again after this long
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

_log = logging.getLogger("peft_studio")
_COMMAND = "_peft_studio_command"
_Method = TypeVar("_Method", bound=Callable[..., Any])


def command(method: _Method) -> _Method:
    """Mark a method that the browser may call by its name, with keyword arguments.

    It runs on a thread of its own and may take its time.
    """
    setattr(method, _COMMAND, True)
    return method


def built(name: str) -> Path:
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
    return path


class Panel(anywidget.AnyWidget):
    """One panel. A subclass says what it shows: ``sections``, ``streams``, ``snapshot_html``, and commands."""

    interval_s: float = 0.1  # at most 20 messages a second a panel reach Jupyter; 10 look as smooth

    def __init__(self) -> None:
        super().__init__()
        self._updates = threading.RLock()  # over all that the panel reads and sends
        self._number = 0
        self._full_at = -KEYFRAME_S  # when everything was last sent, on the monotonic clock
        self._sent: dict[str, Any] = {}
        self._display_id = uuid.uuid4().hex
        self._displayed = False
        self.on_msg(self._receive)
        _take_clicks_during_cells(self.comm)
        REFRESHER.watch(self)

    # -- what a subclass fills in -----------------------------------------------------------------------------

    def sections(self) -> dict[str, Any]:
        """The state to show, as JSON by section. Called often, on any thread, one at a time."""
        return {}

    def streams(self, *, full: bool) -> tuple[dict[str, Any], list[bytes]]:
        """What series have grown by since the last call, or with ``full`` all of it: JSON, and blocks beside it."""
        return {}, []

    def snapshot_html(self) -> str:
        """What a saved notebook shows where no kernel is: static HTML, everything escaped, no script."""
        return ""

    # -- updates ----------------------------------------------------------------------------------------------

    def refresh(self, *, full: bool = False) -> None:
        """Send what has changed. A problem on the way is shown in the panel; the next call tries again."""
        with self._updates:
            _, problem = self._guard(lambda: self._update(full=full))
            if problem != self._sent.get("problem"):
                self._send_update({"problem": problem}, {}, [])

    def _update(self, *, full: bool) -> None:
        sections = self.sections()
        changing = self._number == 0 or self.interval_s < 1.0
        full = full or (changing and time.monotonic() - self._full_at >= KEYFRAME_S)
        streams, blocks = self.streams(full=full)
        changed = {
            name: value
            for name, value in sections.items()
            if full or name not in self._sent or self._sent[name] != value
        }
        if full or changed or streams:
            self._send_update(changed, streams, blocks, full=full)

    def _send_update(
        self, sections: dict[str, Any], streams: dict[str, Any], blocks: list[bytes], *, full: bool = False
    ) -> None:
        self._number += 1
        self._full_at = time.monotonic() if full else self._full_at
        self.send({"kind": "update", "n": self._number, "full": full, "sections": sections, "streams": streams}, blocks)
        self._sent.update(sections)

    # -- commands ---------------------------------------------------------------------------------------------

    @command
    def pull(self) -> None:
        """Send everything: a browser has just come, or has missed an update."""
        self.refresh(full=True)

    def _receive(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("kind") == "command":
            threading.Thread(target=self._obey, args=(content,), name="peft-studio-command", daemon=True).start()

    def _obey(self, content: dict[str, Any]) -> None:
        name, args = str(content.get("name")), content.get("args")
        value, problem = self._guard(lambda: self._call(name, args if isinstance(args, dict) else {}))
        self.send({"kind": "reply", "id": content.get("id"), "ok": problem is None, "value": value, "problem": problem})

    def _call(self, name: str, args: dict[str, Any]) -> Any:
        method = getattr(type(self), name, None)
        if not getattr(method, _COMMAND, False):
            raise StudioError(
                f"This panel has no command {name!r}.",
                hint="Run the cell again: the page may be older than the kernel.",
            )
        return method(self, **args)  # type: ignore[misc]

    def _guard(self, work: Callable[[], Any]) -> tuple[Any, dict[str, str] | None]:
        """The value, or the problem as the panel shows it.

        Whatever goes wrong on a thread of ours would else be seen by nobody.
        """
        try:
            return work(), None
        except StudioError as exc:
            return None, {"message": plain(exc.message), "hint": plain(exc.hint)}
        except Exception as exc:  # noqa: BLE001 - the panel's boundary: shown where the click was
            _log.warning("a panel's %s failed", type(self).__name__, exc_info=True)
            return None, {
                "message": plain(f"{type(exc).__name__}: {exc}"),
                "hint": "This is unexpected. The kernel's log has the trace.",
            }

    # -- where there is no browser, or no kernel --------------------------------------------------------------

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        with self._updates:
            html, problem = self._guard(self.snapshot_html)
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if problem is None and html:
            bundle["text/html"] = html
        if self._view_name is not None:
            bundle[WIDGET_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return bundle

    def _ipython_display_(self) -> None:
        """Display under an id, so that the picture saved in the notebook can be brought up to date."""
        from IPython.display import display

        bundle = self._repr_mimebundle_()
        display(bundle, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]
        self._displayed = True

    def update_saved(self) -> None:
        """Replace the picture that the notebook saves. For endings: the front end draws the panel anew."""
        from IPython.display import update_display

        if self._displayed:
            bundle = self._repr_mimebundle_()
            update_display(bundle, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """End the panel in every view."""
        REFRESHER.forget(self)
        super().close()


def _take_clicks_during_cells(comm: Any) -> None:
    """Let the front end choose the thread that a click is handled on.

    ipykernel 7.4 sends a widget's messages to the shell from which the kernel last wrote to it, which is the one that
    runs cells: a click made while a cell runs then waits for it. Without this private hook (other versions)
    everything works, and clicks wait.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default
