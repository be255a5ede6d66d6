"""A row as its source holds it, and the little that every source must offer.

Knows nothing of formats: a value is a dict of whatever the file said.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

# A row longer than this is a fault of the file (say, one that lost its line ends), not something to train on: the
# longest contexts in use, about a million tokens, need some 4 MB. Bounding it bounds the memory that opening a file
# takes.
MOST_ROW_BYTES = 64 * 1024 * 1024


class RawRow(NamedTuple):
    """One row: its number in the source (from 0), and either its value or why it has none."""

    number: int
    value: dict[str, Any] | None
    file: str
    line: int  # from 1; 0 where the file has no lines
    broken: str = ""
    held_out: bool = False

    @property
    def place(self) -> str:
        """Where a person finds it: ``train.jsonl:17``."""
        return f"{self.file}:{self.line}" if self.line else f"{self.file}, row {self.number}"


class Source(Protocol):
    """Rows on this machine, read from the start as often as asked; never held in memory all at once."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file whose bytes decide the rows."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on choices made in reading, such as how a text was cut into rows."""

    def rows(self) -> Iterator[RawRow]:
        """Read every row in order, the broken ones too.

        Raises:
            DataError: The file cannot be read on from some place; names file and line.
        """
