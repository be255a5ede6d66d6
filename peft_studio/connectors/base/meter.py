"""How far a download is and how fast it goes, told a few times a second."""

from __future__ import annotations

import time
from collections import deque

from peft_studio.core.ports.download import Order, Progress

TELL_S = 0.2
WINDOW_S = 5.0  # over which the rate is taken


class Meter:
    """Counts the bytes of an order. What was here already counts as done, but not as speed."""

    def __init__(self, order: Order, total_bytes: int | None) -> None:
        self._order, self.total_bytes = order, total_bytes
        self.done_bytes = self.received_bytes = 0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._what = ""

    def begin(self, what: str, *, here_bytes: int) -> None:
        """A file's turn, of which so much is here."""
        self._what = what
        self.done_bytes += here_bytes
        self._tell(time.monotonic())

    def add(self, received_bytes: int) -> None:
        """So much has come."""
        self.done_bytes += received_bytes
        self.received_bytes += received_bytes
        now = time.monotonic()
        if now - self._marks[-1][0] >= TELL_S:
            self._tell(now)

    def take_back(self, lost_bytes: int) -> None:
        """So much of what had come must come again."""
        self.done_bytes -= lost_bytes

    def end(self) -> None:
        """All of it is here."""
        self._tell(time.monotonic())

    def _tell(self, now: float) -> None:
        self._marks.append((now, self.received_bytes))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW_S:
            self._marks.popleft()
        then, before = self._marks[0]
        took_s = now - then
        rate = (self.received_bytes - before) / took_s if took_s > 0 and self.received_bytes > before else None
        self._order.tell(Progress(self.done_bytes, self.total_bytes, rate, self._what))
