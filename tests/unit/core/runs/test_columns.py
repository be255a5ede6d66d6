"""Rows read as columns: the same rows as one by one, whatever has happened to the file."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from peft_studio.core.runs.metrics import MetricsReader, MetricsWriter, Row, read_last, read_metrics


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand rows with another kind among them, two resumes, and rows that one of them goes back over."""
    path = tmp_path_factory.mktemp("metrics") / "metrics"
    writer = MetricsWriter(path)
    for step in range(1, 10_001):
        writer.log(step, loss=1.0 / step, tokens=100.0 * step)
        if step % 3000 == 0:
            writer.log(step, eval_loss=2.0 / step)
        if step in {5000, 9000}:
            writer.close()
            writer = MetricsWriter(path)
            writer.rewind(step - 4500)
            for again in range(step - 4499, step + 1):
                writer.log(again, loss=3.0 / again, tokens=100.0 * again)
    writer.close()
    return path


class Both:
    """Reads columns, then the rows that they leave, as their users do."""

    def __init__(self, path: Path) -> None:
        self.reader, self.back = MetricsReader(path), [9**9]

    def read(self) -> list[Row]:
        columns = self.reader.read_columns()
        self.back.append(self.reader.rewound_to if self.reader.rewound_to is not None else 9**9)
        rows = self.reader.read()
        kept = [row for one in columns for row in one.rows()]
        if self.reader.rewound_to is not None:
            kept = [row for row in kept if row.step <= self.reader.rewound_to]
            self.back.append(self.reader.rewound_to)
        return kept + rows


def test_columns_hold_the_rows_of_the_file(long: Path) -> None:
    """Kinds, resumes and all: the same rows in the same order, and both readers stop at the same place."""
    one, other = Both(long), MetricsReader(long)

    assert one.read() == other.read()
    assert (one.reader.offset, min(one.back)) == (other.offset, other.rewound_to) == (long.stat().st_size, 500)


def test_a_file_that_grows_is_followed(long: Path, tmp_path: Path) -> None:
    """Cut anywhere, what is read and then read on is what one reading gives, rows of the first part that a resume voids aside."""
    data, path = long.read_bytes(), tmp_path / "metrics"
    draw = random.Random(3)
    for _ in range(6):
        cut = draw.randrange(len(data))
        path.write_bytes(data[:cut])
        one, other = Both(path), MetricsReader(path)
        assert one.read() == other.read()
        path.write_bytes(data)
        one.back.clear()
        assert one.read() == other.read()
        assert min(one.back) == (9**9 if other.rewound_to is None else other.rewound_to)


def test_damage_ends_the_reading_where_it_is(long: Path, tmp_path: Path) -> None:
    """One wrong bit anywhere: the rows before it and none after, as when they are read one by one."""
    path = tmp_path / "metrics"
    draw = random.Random(5)
    for _ in range(10):
        data = bytearray(long.read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)

        assert Both(path).read() == MetricsReader(path).read()


def test_the_last_row_of_a_long_file(long: Path, tmp_path: Path) -> None:
    """It is found without making objects of the others; a short file gives all."""
    short = tmp_path / "metrics"
    shutil.copyfile(long, short)
    with short.open("r+b") as file:
        file.truncate(2000)

    assert read_last(long)[-1] == read_metrics(long)[-1]
    assert len(read_last(long)) < 1000
    assert read_last(short) == read_metrics(short)
    assert read_last(tmp_path / "none") == []


def test_far_behind_is_a_matter_of_size(long: Path, tmp_path: Path) -> None:
    """Columns are for long stretches; a reader that has caught up, and one whose file is missing, is not behind."""
    reader = MetricsReader(long)
    assert reader.far_behind
    reader.read()

    assert not reader.far_behind
    assert not MetricsReader(tmp_path / "none").far_behind
    assert MetricsReader(tmp_path / "none").read_columns() == []
