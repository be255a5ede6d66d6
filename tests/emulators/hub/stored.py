"""A file of the emulated hub that lies on disk, for sizes that no memory should hold: its digest is taken once, its bytes are sent by the system."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from functools import cached_property
from pathlib import Path


class Stored:
    """A file's content. ``sha256`` may be given where it is known. ``hold_at``: so much of an answer is sent before ``go_on`` is set.

    ``sent_to``: the place up to which the last answer has been sent so far.
    """

    def __init__(self, path: Path, sha256: str = "", *, hold_at: int | None = None) -> None:
        self.path = path
        self.hold_at, self.go_on = hold_at, threading.Event()
        self.sent_to = 0
        self._known = sha256

    def __len__(self) -> int:
        return self.path.stat().st_size

    @cached_property
    def sha256(self) -> str:
        if self._known:
            return self._known
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def send(self, line: socket.socket, first: int, last: int) -> None:
        """Send a span, both ends included."""
        stop_at = last + 1 if self.hold_at is None else min(last + 1, first + self.hold_at)
        with self.path.open("rb") as file:
            while first <= last:
                if first == stop_at:
                    self.go_on.wait(60)
                    stop_at = last + 1
                first += os.sendfile(line.fileno(), file.fileno(), first, min(stop_at - first, 2**20))
                self.sent_to = first
