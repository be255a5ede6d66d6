"""Many rows of a metrics file at once: a chart of a million numbers must not wait for a million objects.

Rows of one kind that follow one another are all equally long, so they are a table just as they lie in the file. Their
check sums are tested together: a record followed by its own CRC always leaves a CRC the same value (``_RESIDUE``), so
what a whole stretch of sound rows leaves depends on their length and number alone, and is known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from peft_studio.core.runs.metrics import Row

_RESIDUE = 0x2144DF1C  # of CRC-32, stored little-endian
_BLOCK = 4096  # rows tested together: little enough to stay in a cache


@dataclass(frozen=True, slots=True)
class Columns:
    """Neighbouring rows of one kind, in the order written. ``table`` is a view of the file's bytes."""

    names: tuple[str, ...]
    table: NDArray[Any]

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> NDArray[Any]:
        """``step``, ``at`` or the values of a name; a view."""
        place = name if name in {"step", "at"} else f"v{self.names.index(name)}"
        found: NDArray[Any] = self.table[place]
        return found

    def rows(self, start: int = 0, end: int | None = None) -> list[Row]:
        """Some of them, as the row reader gives them."""
        return [
            Row(step, at, dict(zip(self.names, values, strict=True)))
            for _, step, at, *values, _ in self.table[start:end].tolist()
        ]

    def after(self, rows: int, most: int | None = None) -> Columns:
        """All but the first so many, and no more than ``most``."""
        return Columns(self.names, self.table[rows : None if most is None else rows + most])

    def upto(self, step: int) -> Columns:
        """Those that a rewind to this step leaves."""
        return Columns(self.names, self.table[self.column("step") <= step])


def take_columns(data: memoryview, start: int, names: tuple[str, ...]) -> Columns:
    """The rows of one kind from ``start`` on, as far as they are whole and undamaged."""
    layout = _layout(len(names))
    table = np.frombuffer(data, layout, count=(len(data) - start) // layout.itemsize, offset=start)
    alike = table["kind_id"] == int.from_bytes(data[start : start + 2], "little")
    count = len(table) if alike.all() else int(alike.argmin())
    sound = 0
    while sound < count:
        rows = min(_BLOCK, count - sound)
        at = start + sound * layout.itemsize
        if crc32(data[at : at + rows * layout.itemsize]) != _states(layout.itemsize)[rows]:
            ends = range(at, at + rows * layout.itemsize, layout.itemsize)
            sound += next(row for row, at in enumerate(ends) if crc32(data[at : at + layout.itemsize]) != _RESIDUE)
            break
        sound += rows
    return Columns(names, table[:sound])


@cache
def _layout(values: int) -> np.dtype[Any]:
    """A row record of ``metrics``, its CRC included."""
    numbers = [(f"v{at}", "<f8") for at in range(values)]
    return np.dtype([("kind_id", "<u2"), ("step", "<u4"), ("at", "<f8"), *numbers, ("crc", "<u4")])


@cache
def _states(size: int) -> tuple[int, ...]:
    """The CRC of 0, 1, 2, … ``_BLOCK`` sound records of ``size`` bytes each, whatever they hold.

    A CRC is linear: starting from a state instead of 0 changes it by what that state becomes over as many zero bytes.
    """
    zeros = bytes(size)
    of_zeros, states = crc32(zeros), [0]
    for _ in range(_BLOCK):
        states.append(_RESIDUE ^ crc32(zeros, states[-1]) ^ of_zeros)
    return tuple(states)
