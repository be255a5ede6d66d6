"""What the columns of a source hold, from its first rows: an example of each and how often it is filled.

For people who map columns by hand. Knows nothing of formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from peft_studio.core.data.open_source import open_path
from peft_studio.core.data.raw_row import Source
from peft_studio.core.data.scan import SAMPLE_ROWS


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``filled`` is the share of the first ``seen`` rows in which it is not empty."""

    name: str
    example: Any
    filled: float
    seen: int


def look_at_columns(source: Source | Path) -> tuple[Column, ...]:
    """The columns of the first rows of a source, or of the file or folder at a path, in the order of meeting.

    Raises:
        DataError: The source cannot be read.
    """
    source = open_path(source) if isinstance(source, Path) else source
    rows = [row.value for row in islice(source.rows(), SAMPLE_ROWS) if row.value is not None]
    columns = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name) not in (None, "", [], {})]
        columns.append(Column(name, values[0] if values else None, len(values) / len(rows), len(rows)))
    return tuple(columns)
