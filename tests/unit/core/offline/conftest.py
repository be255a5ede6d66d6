"""An outbox, a clock that is set by hand, and a sender that does as it is told."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.offline.entry import Entry
from peft_studio.core.offline.outbox import Outbox

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))


class Clock:
    """Seconds that stand still until they are moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Obedient:
    """A sender that writes down what it is given. ``answers`` are what it raises or returns, in turn; then all goes well."""

    def __init__(self, *answers: Any, idempotent: bool = True, reads_back: bool = False) -> None:
        self.idempotent, self.reads_back = idempotent, reads_back
        self.answers = list(answers)
        self.sent: list[Entry] = []
        self.asked: list[str] = []
        self.there: set[str] = set()
        self.before: Callable[[], Any] = lambda: None

    def send(self, entry: Entry) -> str | None:
        self.before()
        self.sent.append(entry)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def read_back(self, entry: Entry) -> bool:
        self.asked.append(entry.id)
        return entry.id in self.there

    @property
    def payloads(self) -> list[Any]:
        return [entry.payload for entry in self.sent]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where that can be had: a kill takes nothing that a file system has, so waiting for a disk shows nothing."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="peft-studio-", dir="/dev/shm") as made:
        yield Path(made)


@pytest.fixture
def outbox(memory: Path, clock: Clock) -> Iterator[Outbox]:
    """Empty, in a folder that does not exist yet."""
    made = Outbox(memory / "home" / "outbox", key=KEY, now=clock)
    yield made
    made.file.close()
