"""A process that puts in and sends until it is killed: ``python -m tests.unit.core.offline.post_office FOLDER REMOTE NAME FIRST``.

The other side is a file: a line is a thing done. Its ``keyed`` targets do a thing once a key, its ``asked`` ones can be asked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from peft_studio.core.offline.delivery import deliver_line
from peft_studio.core.offline.entry import Entry
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.system import locked
from tests.unit.core.offline.conftest import KEY


class FileSender:
    """Does a thing by appending its line."""

    def __init__(self, remote: Path, target: str) -> None:
        self.remote = remote
        self.idempotent = target.startswith("keyed")
        self.reads_back = not self.idempotent

    def send(self, entry: Entry) -> str | None:
        line = f"{entry.target} {entry.id}\n".encode()
        with locked(self.remote.with_suffix(".lock")):
            if not (self.idempotent and line in self._lines()):
                fd = os.open(self.remote, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.write(fd, line)
                os.close(fd)
        os.sched_yield()
        return "done"

    def read_back(self, entry: Entry) -> bool:
        return f"{entry.target} {entry.id}\n".encode() in self._lines()

    def _lines(self) -> set[bytes]:
        return set(self.remote.read_bytes().splitlines(keepends=True)) if self.remote.exists() else set()


def deliver(outbox: Outbox, remote: Path) -> None:
    """Every line once."""
    for target in outbox.heads():
        deliver_line(outbox, target, FileSender(remote, target))


def main(folder: str, remote: str, name: str, first: int) -> None:
    """Say each number once its operation is in the outbox."""
    outbox = Outbox(Path(folder), key=KEY)
    for number in range(first, 1_000_000):
        target = f"{'keyed' if number % 2 else 'asked'}:{name}"
        outbox.put(target, "log", {"number": number}, id=f"{name}-{number}")
        os.write(1, b"%d\n" % number)
        if number % 7 == 0:
            deliver(outbox, Path(remote))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
