"""The newest log lines of some runs, followed from where each was left, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from peft_studio.core.runs.events import Logged
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.lines import LEVELS, build_lines, shows
from peft_studio.core.runs.log import EventLogReader
from peft_studio.widgets._text import plain

KEPT = 2000  # lines of each level, so that no flood of details pushes an error out; and lines shown


@dataclass(frozen=True, slots=True)
class Kept:
    """A line as it came: ``number`` counts those of all runs followed, in the order they were read."""

    number: int
    run: str
    line: Logged


class LogSource:
    """Lines of the runs followed. For one thread at a time."""

    def __init__(self) -> None:
        self._readers: dict[str, EventLogReader] = {}
        self._kept: dict[str, deque[Kept]] = {level: deque(maxlen=KEPT) for level in LEVELS}
        self._hidden: tuple[Any, int] = (None, 0)
        self.count = 0  # lines read so far, also those that are no longer kept

    def follow(self, folders: Iterable[tuple[str, RunFolder]]) -> None:
        """Read what is new in these runs, given by name and folder. Lines of one reading stand in order of time."""
        new = []
        for name, folder in folders:
            reader = self._readers.setdefault(folder.id, EventLogReader(folder.events))
            new += [(name, line) for line in build_lines(reader.read())]
        for name, line in sorted(new, key=lambda one: one[1].at):
            self.count += 1
            self._kept[line.level].append(Kept(self.count, name, line))

    def counts(self) -> dict[str, int]:
        """How many lines of each level are kept."""
        return {level: len(kept) for level, kept in self._kept.items()}

    def hidden(self, level: str, contains: str) -> int:
        """How many of the lines kept the filter leaves out."""
        asked = (self.count, level, contains)
        if asked != self._hidden[0]:  # asked ten times a second, also when nothing is said
            every = (one for kept in self._kept.values() for one in kept)
            self._hidden = (asked, sum(not shows(one.line, level, contains) for one in every))
        return self._hidden[1]

    def select(self, level: str, contains: str, *, after: int = 0) -> list[dict[str, Any]]:
        """The newest lines that pass the filter, with a number above ``after``, oldest first."""
        least = LEVELS.index(level)
        kept = (one for name in LEVELS[least:] for one in reversed(self._kept[name]) if one.number > after)
        passed = sorted((one for one in kept if shows(one.line, level, contains)), key=lambda one: -one.number)
        return [_view(one) for one in islice(passed, KEPT)][::-1]


def _view(one: Kept) -> dict[str, Any]:
    line = one.line
    return {"seq": one.number, "at": line.at, "level": line.level, "text": plain(line.text), "run": one.run}
