"""A file of the emulated hub that lies on disk, for sizes that no memory should hold: its digest is taken once, its bytes are sent by the system."""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cached_property
from pathlib import Path


class Stored:
    """A file's content. ``sha256`` may be given where it is known."""

    def __init__(self, path: Path, sha256: str = "") -> None:
        self.path = path
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
        with self.path.open("rb") as file:
            while first <= last:
                first += os.sendfile(line.fileno(), file.fileno(), first, min(last + 1 - first, 2**20))
