"""Numbers by step, as fixed-width binary records: about 10 bytes a value, one ``write`` call a row, nothing lost on SIGKILL.

File layout, little-endian; every record ends with the CRC-32 of what stands before it in the record:

    header   b"PSMETRIC1\\n"
    columns  u8=1  u8 id  u16 length  JSON list of names           crc
    row      u8=2  u8 id  u32 step  f64 at  f64 × names            crc
    rewind   u8=3  u8=0   u32 step                                 crc     rows of later steps are void: a resume starts here

Once ``log()`` has returned, the row is in the page cache and survives the death of the process. A torn last record is cut off by the
next writer and skipped by readers.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zlib import crc32

from peft_studio.core.runs.append import append_whole
from peft_studio.core.runs.summing import Summing
from peft_studio.core.system import open_private

if TYPE_CHECKING:
    from peft_studio.core.runs.columns import Columns

HEADER = b"PSMETRIC1\n"
_CRC = struct.Struct("<I")
_COLUMNS = struct.Struct("<BBH")
_REWIND = struct.Struct("<BBI")
_END = 8 * 1024  # bytes, more than a record
_MANY = 256 * 1024  # bytes, some thousand rows: from here on columns are quicker, the import of numpy included
_SOME = 16 * 1024  # the same where numpy has been imported


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the values logged together at one step. ``at`` is seconds since 1970, UTC."""

    step: int
    at: float
    values: dict[str, float]


class MetricsWriter:
    """Appends rows. One writer a file."""

    def __init__(self, path: Path) -> None:
        whole = 0
        self._summing = Summing(path)
        if path.exists():
            reader = MetricsReader(path)
            reader.read()
            whole = reader.offset
        self._fd = open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.ftruncate(self._fd, whole)
        if whole == 0:
            append_whole(self._fd, HEADER)
        # A new writer declares its columns anew, so ids need not be recovered from the file.
        self._rows: dict[tuple[str, ...], tuple[struct.Struct, int]] = {}

    def log(self, step: int, **values: float) -> None:
        """Append one row. When this returns, the row survives SIGKILL. NaN and infinity are kept as they are."""
        known = self._rows.get(tuple(values))
        if known is None:
            known = self._declare(tuple(values))
        layout, number = known
        record = layout.pack(2, number, step, time.time(), *values.values())
        append_whole(self._fd, record + _CRC.pack(crc32(record)))
        if "loss" in values:
            self._summing.logged(self._fd)

    def rewind(self, step: int) -> None:
        """Say that training goes on from this step: rows of later steps are superseded."""
        self._append(_REWIND.pack(3, 0, step))
        self._summing.forget()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _declare(self, names: tuple[str, ...]) -> tuple[struct.Struct, int]:
        number = len(self._rows)
        if number > 255:
            raise ValueError("a metrics file holds at most 256 different sets of columns")
        text = json.dumps(names).encode()
        self._append(_COLUMNS.pack(1, number, len(text)) + text)
        self._rows[names] = (_row_layout(len(names)), number)
        return self._rows[names]

    def _append(self, record: bytes) -> None:
        append_whole(self._fd, record + _CRC.pack(crc32(record)))


class MetricsReader:
    """Follows a metrics file. ``read()`` returns rows that are new since the last call, after a rewind the repeated ones too.

    ``until`` is where the file ends for this reader, in bytes.
    """

    def __init__(self, path: Path, *, until: int | None = None) -> None:
        self._path, self._until = path, until
        self.offset = 0
        self.rewound_to: int | None = (
            None  # set by read() when it passed a rewind: drop later steps before adding its rows
        )
        self._columns: dict[int, tuple[tuple[str, ...], struct.Struct]] = {}

    @property
    def kinds(self) -> dict[int, tuple[str, ...]]:
        """Names of the values by the kind of row, as declared so far."""
        return {number: names for number, (names, _) in self._columns.items()}

    def go_to(self, offset: int, kinds: Mapping[int, Sequence[str]]) -> None:
        """Go on from where another reader was, with the kinds that it knew."""
        self.offset = offset
        self._columns = {number: (tuple(names), _row_layout(len(names))) for number, names in kinds.items()}

    @property
    def far_behind(self) -> bool:
        """Whether so much is new that ``read_columns`` is the way to read it."""
        try:
            return self._path.stat().st_size - self.offset > (_SOME if "numpy" in sys.modules else _MANY)
        except FileNotFoundError:
            return False

    def read(self) -> list[Row]:
        """New rows in the order written, superseded ones among them already left out."""
        data, start = self._new()
        rows: list[Row] = []
        while (end := self._take(data, start, rows)) is not None:
            start = end
        self.offset += start
        return rows

    def read_columns(self) -> list[Columns]:
        """Rows as ``read`` gives them, as columns: a million numbers in milliseconds. The last few are left for ``read``."""
        from peft_studio.core.runs.columns import take_columns

        data, start = self._new(mapped=True)
        found: list[Columns] = []
        while start + 2 <= len(data):
            kind, number = data[start], data[start + 1]
            if kind == 2 and number in self._columns:
                names, layout = self._columns[number]
                columns = take_columns(data, start, names)
                if not len(columns):
                    break
                found.append(columns)
                start += len(columns) * (layout.size + _CRC.size)
            elif kind != 2 and (end := self._take(data, start, [])) is not None:
                if kind == 3:
                    found = [one.upto(_REWIND.unpack_from(data, start)[2]) for one in found]
                start = end
            else:
                break
        self.offset += start
        return [one for one in found if len(one)]

    def _new(self, *, mapped: bool = False) -> tuple[memoryview, int]:
        """What has been written since the last call, and where in it records start."""
        self.rewound_to = None
        try:
            with self._path.open("rb") as file:
                data = _map(file, self.offset) if mapped else _read(file, self.offset)
        except FileNotFoundError:
            return memoryview(b""), 0
        if self._until is not None:
            data = data[: max(0, self._until - self.offset)]
        if self.offset:
            return data, 0
        return (data, len(HEADER)) if data[: len(HEADER)] == HEADER else (memoryview(b""), 0)

    def _take(self, data: memoryview, start: int, rows: list[Row]) -> int | None:
        """Decode the record at ``start`` and return where it ends; None when it is unfinished or damaged."""
        if start + 2 > len(data):
            return None
        kind, number = data[start], data[start + 1]
        known = self._columns.get(number) if kind == 2 else None
        if known:
            end = start + known[1].size
        elif kind == 1 and start + 4 <= len(data):
            end = start + _COLUMNS.size + _COLUMNS.unpack_from(data, start)[2]
        elif kind == 3:
            end = start + _REWIND.size
        else:
            return None
        if end + 4 > len(data) or _CRC.unpack_from(data, end)[0] != crc32(data[start:end]):
            return None
        if known:
            names, layout = known
            _, _, step, at, *values = layout.unpack_from(data, start)
            rows.append(Row(step, at, dict(zip(names, values, strict=True))))
        elif kind == 1:
            names = tuple(json.loads(bytes(data[start + _COLUMNS.size : end])))
            self._columns[number] = (names, _row_layout(len(names)))
        else:
            step = _REWIND.unpack_from(data, start)[2]
            self.rewound_to = step if self.rewound_to is None else min(step, self.rewound_to)
            rows[:] = [row for row in rows if row.step <= step]
        return end + 4


def _read(file: BinaryIO, offset: int) -> memoryview:
    file.seek(offset)
    return memoryview(file.read())


def _map(file: BinaryIO, offset: int) -> memoryview:
    """A file from an offset on, without copying it: reading pages that are in memory anyway costs more than looking at them.

    The end is copied. A writer that resumes may cut off a torn last record, and a page that is mapped must not vanish.
    """
    size = os.fstat(file.fileno()).st_size
    whole = (size - _END) // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    if whole <= offset:
        return _read(file, offset)
    return memoryview(mmap.mmap(file.fileno(), whole, access=mmap.ACCESS_READ))[offset:]


def read_metrics(path: Path) -> list[Row]:
    """Every valid row of a metrics file, in order of writing."""
    return MetricsReader(path).read()


def read_last(path: Path) -> list[Row]:
    """The last valid rows: all of a short file, some of a long one, among them the last of each kind."""
    reader = MetricsReader(path)
    first = [one.rows(-1)[0] for one in reader.read_columns()] if reader.far_behind else []
    return first + reader.read()


def merge_steps(rows: list[Row]) -> dict[int, dict[str, float]]:
    """Rows of one step joined into one: step → its values, later rows winning. Steps stay in order of first appearance."""
    merged: dict[int, dict[str, float]] = {}
    for row in rows:
        merged.setdefault(row.step, {}).update(row.values)
    return merged


def _row_layout(values: int) -> struct.Struct:
    return struct.Struct(f"<BBId{values}d")
