"""Rows of Parquet files and of the Arrow files that ``datasets.save_to_disk`` writes, a batch at a time.

pyarrow is imported when such a file is met, and only then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.errors import DataError, MissingExtra

_BATCH_ROWS = 1024


@dataclass(frozen=True)
class ArrowFile:
    """A columnar file; nested columns come as dicts and lists."""

    path: Path
    name: str
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def rows(self) -> Iterator[RawRow]:
        arrow = _import_pyarrow(self.name)
        number = 0
        try:
            for batch in self._batches(arrow):
                for value in batch.to_pylist():
                    yield RawRow(number, value, self.name, 0)
                    number += 1
        except (arrow.lib.ArrowException, OSError) as exc:
            reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
            raise DataError(
                f"{self.name} cannot be read after row {number - 1}: {reason}."
                if number
                else f"{self.name} cannot be read: {reason}.",
                hint="Write or download the file again; it may have been cut short.",
            ) from exc

    def _batches(self, arrow: ModuleType) -> Iterator[Any]:
        if self.path.suffix.lower() == ".parquet":
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(self.path) as file:
                yield from file.iter_batches(batch_size=_BATCH_ROWS)
        else:
            with arrow.memory_map(str(self.path)) as stream, arrow.ipc.open_stream(stream) as reader:
                for batch in reader:
                    for start in range(0, batch.num_rows, _BATCH_ROWS):
                        yield batch.slice(start, _BATCH_ROWS)


def _import_pyarrow(name: str) -> ModuleType:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as exc:
        raise MissingExtra(
            f"{name} is a columnar file, and reading it needs pyarrow.", hint="pip install pyarrow"
        ) from exc
    return pyarrow  # type: ignore[no-any-return]
