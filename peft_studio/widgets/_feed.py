"""Keeps one page up to date with one content: updates out, commands in. The protocol that ``frontend/bridge`` speaks.

    update    n, at, full, sections, streams     what has changed since the last one; ``full`` holds everything
    taken     id                                 a command is worked on
    late      id                                 it waited for a cell: the browser sends it again unless it was taken back
    reply     id, ok, value | problem            the answer to a command

and from the browser ``command`` with id, name, args and ``at``, when it was sent in the time of our updates, and ``sight``
with ``word``: ``seen``, ``hidden`` where nobody can see the panel now, ``gone`` where the page shows it no more. Jupyter drops messages silently when too many come at once,
and a page that is loaded again has heard none: updates are numbered, at most 20 a second, and a browser that misses
one asks for a full one (``pull``).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from peft_studio.core.errors import StudioError
from peft_studio.widgets._content import Content
from peft_studio.widgets._refresh import REFRESHER
from peft_studio.widgets._text import plain

KEYFRAME_S = 10.0  # a page that was loaded again while a cell runs cannot ask; it is right again after this long
HIDDEN_S = 2.0  # to twice that, between refreshes of what nobody sees: a cell may keep the page's word from us
LATE_S = 1.0  # what has waited for longer may have been taken back: panels offer that after 1.5 s
ERRORS: deque[Exception] = deque(maxlen=100)  # what went wrong on threads of ours, newest last: ``studio.errors``

_log = logging.getLogger("peft_studio")
_Value = TypeVar("_Value")
Send = Callable[[dict[str, Any], list[bytes]], None]


class Feed:
    """One content and the way to its page. ``send`` may be called on any thread. ``after`` is called after each refresh."""

    def __init__(self, content: Content, send: Send, *, after: Callable[[Content], None] | None = None) -> None:
        self.content = content
        self._send, self._after = send, after
        self._updates = threading.RLock()  # over all that the content reads and sends
        self._number = 0
        self._full_at = -KEYFRAME_S  # when everything was last sent, on the monotonic clock
        self._sent: dict[str, Any] = {}
        self._hidden_s = 0.0  # between refreshes, at least, while nobody sees it
        REFRESHER.watch(self)

    @property
    def interval_s(self) -> float:
        """Seconds between refreshes, as the content now wants them and its page has a use for."""
        return max(self.content.interval_s, self._hidden_s)

    def refresh(self, *, full: bool = False) -> None:
        """Send what has changed. A problem on the way is shown in the panel; the next call tries again."""
        with self._updates:
            _, problem = self.guard(lambda: self._update(full=full))
            if problem != self._sent.get("problem"):
                self._send_update({"problem": problem}, {}, [])
            if self._after:
                self._after(self.content)

    def _update(self, *, full: bool) -> None:
        sections = self.content.sections()
        changing = self._number == 0 or self.content.interval_s < 1.0
        full = full or self.content.renewed or (changing and time.monotonic() - self._full_at >= KEYFRAME_S)
        self.content.renewed = False
        streams, blocks = self.content.streams(full=full)
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
        if full and (problem := self._sent.get("problem")):
            sections = {**sections, "problem": problem}  # a full update replaces all that the page has
        self._number += 1
        self._full_at = time.monotonic() if full else self._full_at
        message = {
            "kind": "update",
            "n": self._number,
            "at": time.time(),
            "full": full,
            "sections": sections,
            "streams": streams,
        }
        self._send(message, blocks)
        self._sent.update(sections)

    def receive(self, message: Any) -> None:
        """Take a message of the page. A command is obeyed on a thread of its own."""
        kind = message.get("kind") if isinstance(message, dict) else None
        if kind == "command":
            threading.Thread(target=self._obey, args=(message,), name="peft-studio-command", daemon=True).start()
        elif kind == "sight":
            self.look(str(message.get("word")))

    def look(self, word: str) -> None:
        """Refresh as often as it is seen. Of several pages the last word counts: the one in use says it again."""
        if word == "gone":
            REFRESHER.forget(self)
        elif word in ("seen", "hidden"):
            # Twenty that nobody sees are not to come in one burst.
            self._hidden_s = HIDDEN_S * random.uniform(1, 2) if word == "hidden" else 0.0  # noqa: S311
            REFRESHER.watch(self)

    def _obey(self, message: dict[str, Any]) -> None:
        name, args, at = str(message.get("name")), message.get("args"), message.get("at")
        if isinstance(at, int | float):
            late = time.time() - at > LATE_S
            self._send({"kind": "late" if late else "taken", "id": message.get("id")}, [])
            if late:
                return
        value, problem = self.guard(lambda: self._call(name, args if isinstance(args, dict) else {}))
        self._send(
            {"kind": "reply", "id": message.get("id"), "ok": problem is None, "value": value, "problem": problem}, []
        )

    def _call(self, name: str, args: dict[str, Any]) -> Any:
        if name == "pull":  # a browser has just come, or has missed an update
            return self.refresh(full=True)
        method = self.content.find_command(name)
        if method is None:
            raise StudioError(
                f"This panel has no command {name!r}.",
                hint="Run the cell again: the page may be older than the kernel.",
            )
        value = method(**args)
        self.refresh()  # what the click has changed is on the page before its answer
        return value

    def read(self, section: str) -> Any:
        """One section as it is now; None where there is none, or it cannot be read."""
        with self._updates:
            return (self.guard(self.content.sections)[0] or {}).get(section)

    def snapshot(self) -> str:
        """The picture for a saved notebook; nothing where it cannot be drawn. Not while an update reads the same content."""
        with self._updates:
            return self.guard(self.content.snapshot_html)[0] or ""

    def guard(self, work: Callable[[], Any]) -> tuple[Any, dict[str, str] | None]:
        """The value, or the problem as the panel shows it."""
        return guarded(work, type(self.content).__name__)

    def close(self) -> None:
        """End the updates."""
        REFRESHER.forget(self)
        self.content.close()


def guarded(work: Callable[[], _Value], owner: str) -> tuple[_Value | None, dict[str, str] | None]:
    """The value of ``work``, or the problem as panels show it.

    Whatever goes wrong on a thread of ours would else be seen by nobody.
    """
    try:
        return work(), None
    except StudioError as exc:
        ERRORS.append(exc)
        code = getattr(exc, "code", None)
        return None, {"message": plain(exc.message), "hint": plain(exc.hint), **({"code": code} if code else {})}
    except Exception as exc:  # noqa: BLE001 - the panel's boundary: shown where the click was
        ERRORS.append(exc)
        _log.warning("a panel's %s failed", owner, exc_info=True)
        return None, {
            "message": plain(f"{type(exc).__name__}: {exc}"),
            "hint": "This is unexpected. studio.errors has it, and the kernel's log the trace.",
        }
