"""The one pass over a source when it is opened: counts, columns, broken rows, a sample to recognise the format from.

Memory does not grow with the number of rows, but for the numbers of broken ones (bounded too).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from peft_studio.core.data.raw_row import RawRow, Source

SAMPLE_ROWS = 256
SHOWN_ROWS = 20
# Row numbers kept so that they can be left out with one call; more than this and it is the file that wants mending.
MOST_NUMBERS = 100_000
_MOST_SHAPES = 64
_MOST_COLUMNS = 1000


@dataclass
class Shape:
    """Rows with the same columns: how many, and the numbers of the first few."""

    count: int = 0
    first: list[int] = field(default_factory=list)


@dataclass
class Scan:
    """What one pass over a source saw."""

    rows: int = 0
    held_out: int = 0
    broken: int = 0
    broken_first: list[RawRow] = field(default_factory=list)
    broken_numbers: list[int] = field(default_factory=list)
    shapes: dict[tuple[str, ...], Shape] = field(default_factory=dict)
    sample: list[RawRow] = field(default_factory=list)
    columns: dict[str, None] = field(default_factory=dict)  # in the order of meeting


def scan_source(source: Source) -> Scan:
    """Read the source once from end to end.

    Raises:
        DataError: The source cannot be read on from some place.
    """
    scan = Scan()
    shape_of_last: tuple[str, ...] = ()
    shape = Shape()
    for row in source.rows():
        scan.rows += 1
        scan.held_out += row.held_out
        if row.value is None:
            _note_broken(scan, row)
            continue
        columns = tuple(row.value)
        if columns != shape_of_last or not shape.count:
            known = tuple(sorted(columns))  # the order of columns means nothing
            if known not in scan.shapes:
                scan.columns.update(dict.fromkeys(columns[:_MOST_COLUMNS]))
                known = known if len(scan.shapes) < _MOST_SHAPES else ()
            shape = scan.shapes.setdefault(known, Shape())
            shape_of_last = columns
        shape.count += 1
        if len(shape.first) < SHOWN_ROWS:
            shape.first.append(row.number)
        if len(scan.sample) < SAMPLE_ROWS:
            scan.sample.append(row)
    return scan


def _note_broken(scan: Scan, row: RawRow) -> None:
    scan.broken += 1
    if len(scan.broken_first) < SHOWN_ROWS:
        scan.broken_first.append(row)
    if len(scan.broken_numbers) < MOST_NUMBERS:
        scan.broken_numbers.append(row.number)
