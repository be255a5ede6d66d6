"""Everything new in a metrics file, whether little or a million rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft_studio.core.runs.metrics import MetricsReader, Row

if TYPE_CHECKING:
    from peft_studio.core.runs.columns import Columns


def read_new(reader: MetricsReader) -> tuple[list[Columns], list[Row], int | None]:
    """Rows as columns where they are many, then the others, superseded ones left out; and the step that was rewound to, if any."""
    many = reader.far_behind
    columns = reader.read_columns() if many else []
    first = reader.rewound_to if many else None
    rows = reader.read()
    last = reader.rewound_to
    if last is not None:  # it voids what came just before as columns, too
        columns = [kept for one in columns if len(kept := one.upto(last))]
    return columns, rows, min((step for step in (first, last) if step is not None), default=None)
