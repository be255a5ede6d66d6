"""When the writer of a metrics file sums it up, and where. What a summary is: ``summary``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_MANY = 16_384  # rows from which on a run is summed up; fewer are read as soon as asked for
_ROWS = 1024  # between two summaries: what readers read by themselves. Costs the writer 2 µs a row
_LAST = 256  # rows that no summary holds: readers want to know how fast the last ones came


def summary_path(path: Path) -> Path:
    """The summary of a metrics file."""
    return path.with_name(path.name + ".summary")


class Summing:
    """Counts a writer's rows and sums them up every so often. It only saves readers time, so no problem with it is anybody's."""

    def __init__(self, path: Path) -> None:
        self._path, self._rows, self._until = path, 0, 0

    def logged(self, fd: int) -> None:
        """One more row has been written."""
        self._rows += 1
        if self._rows < _MANY:
            return
        if self._rows % _ROWS == 0:
            self._until = os.fstat(fd).st_size
        elif self._rows % _ROWS == _LAST and self._until:
            from peft_studio.core.runs.summary import write_summary

            with suppress(OSError):
                write_summary(self._path, until=self._until)

    def forget(self) -> None:
        """Rows are superseded that a summary may hold."""
        self._until = 0
        with suppress(OSError):
            summary_path(self._path).unlink(missing_ok=True)
