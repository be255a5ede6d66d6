"""A page, as far as a panel can tell: it keeps what ``frontend/bridge`` would keep, and sends what a click would send."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any

from comm.base_comm import BaseComm

DEADLINE_S = 20.0  # far beyond what anything here takes; a test that waits longer has failed


class PageComm(BaseComm):
    """Carries messages to the page that is listening, and keeps those that came before it listened."""

    def __init__(self, **given: Any) -> None:
        self.listen: Callable[[dict[str, Any], list[bytes]], None] | None = None
        self.early: list[tuple[dict[str, Any], list[bytes]]] = []
        super().__init__(**given)

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        if msg_type != "comm_msg" or data.get("method") != "custom":
            return
        if self.listen is None:
            self.early.append((data["content"], buffers or []))
        else:
            self.listen(data["content"], buffers or [])


class Browser:
    """The page of one panel. ``sections``, ``log`` and ``curve`` are what it would show."""

    deadline_s = DEADLINE_S

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.sections: dict[str, Any] = {}
        self.log: list[dict[str, Any]] = []
        self.curve: dict[str, list[float]] = {}
        self.numbers: list[int] = []
        self.replies: dict[int, dict[str, Any]] = {}
        self.words: list[tuple[str, int]] = []  # what was said of commands before their reply
        self._news = threading.Condition()
        panel.comm.listen = self._take
        for content, buffers in panel.comm.early:
            self._take(content, buffers)

    def command(self, name: str, **args: Any) -> dict[str, Any]:
        """Send a command and wait for its reply."""
        number = len(self.replies) + 1
        self.send(id=number, name=name, args=args)
        self.wait(lambda: number in self.replies)
        return self.replies[number]

    def send(self, kind: str = "command", **rest: Any) -> None:
        """Send a command, or a message of another kind."""
        content = {"kind": kind, **rest}
        self.panel.comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until what the page shows fulfils a condition."""
        with self._news:
            assert self._news.wait_for(condition, self.deadline_s), (
                f"the page shows {self.sections}, problem {self.sections.get('problem')}"
            )

    def _take(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        with self._news:
            if content["kind"] == "reply":
                self.replies[content["id"]] = content
            elif content["kind"] == "update":
                self._update(content, buffers)
            else:
                self.words.append((content["kind"], content["id"]))
            self._news.notify_all()

    def _update(self, update: dict[str, Any], buffers: list[bytes]) -> None:
        assert update["full"] or not self.numbers or update["n"] == self.numbers[-1] + 1, "an update was lost"
        self.numbers.append(update["n"])
        self.sections = update["sections"] if update["full"] else {**self.sections, **update["sections"]}
        streams = update["streams"]
        if "log" in streams:
            self.log = (streams["log"] if update["full"] else self.log + streams["log"])[-200:]
        if "curve" in streams:
            columns = streams["curve"]["columns"]
            values = struct.unpack(f"<{len(buffers[0]) // 8}d", buffers[0])
            rows = len(values) // len(columns)
            for at, name in enumerate(columns):
                kept = self.curve.get(name, [])[: streams["curve"]["start"]]
                self.curve[name] = [*kept, *values[at * rows : (at + 1) * rows]]
