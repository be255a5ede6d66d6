"""The metrics file: whatever happens to its bytes, readers see a prefix of what was logged and never a wrong number."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peft_studio.core.runs.metrics import HEADER, MetricsReader, MetricsWriter, Row, merge_steps, read_metrics


def write_file(path: Path, steps: int = 12) -> list[Row]:
    """A file with two kinds of rows and a rewind in the middle; returns what a reader must find."""
    writer = MetricsWriter(path)
    for step in range(1, steps + 1):
        writer.log(step, loss=1.0 / step, tokens=100.0 * step)
        if step % 4 == 0:
            writer.log(step, eval_loss=2.0 / step)
    writer.close()
    return read_metrics(path)


def values_of(rows: list[Row]) -> list[tuple[int, dict[str, float]]]:
    return [(row.step, row.values) for row in rows]


def test_what_is_logged_is_read(tmp_path: Path) -> None:
    """Rows come back in order, to the bit, NaN and infinity included."""
    writer = MetricsWriter(tmp_path / "metrics")
    writer.log(1, loss=0.1 + 0.2, grad_norm=float("nan"))
    writer.log(1, eval_loss=float("inf"))
    writer.log(2, loss=-0.0, grad_norm=5e-324)

    first, second, third = read_metrics(tmp_path / "metrics")

    assert (first.step, first.values["loss"]) == (1, 0.1 + 0.2)
    assert math.isnan(first.values["grad_norm"])
    assert second.values == {"eval_loss": float("inf")}
    assert math.copysign(1.0, third.values["loss"]) == -1.0
    assert third.values["grad_norm"] == 5e-324
    assert first.at <= second.at <= third.at


def test_columns_are_told_apart_by_name_and_order(tmp_path: Path) -> None:
    """The same numbers under other names, or in another order, keep their names."""
    writer = MetricsWriter(tmp_path / "metrics")
    writer.log(1, a=1.0, b=2.0)
    writer.log(2, b=3.0, a=4.0)
    writer.log(3, a=5.0)
    assert values_of(read_metrics(tmp_path / "metrics")) == [
        (1, {"a": 1, "b": 2}),
        (2, {"b": 3, "a": 4}),
        (3, {"a": 5}),
    ]


def test_a_file_cut_at_every_byte_gives_a_prefix_and_goes_on(tmp_path: Path) -> None:
    """No cut gives a wrong row, none loses a whole one, and a writer that opens the rest appends readable rows."""
    path = tmp_path / "metrics"
    rows = write_file(path)
    whole = path.read_bytes()
    found = -1
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        now = read_metrics(path)
        assert now == rows[: len(now)], cut
        assert len(now) >= found  # more bytes never give fewer rows
        found = len(now)
        writer = MetricsWriter(path)
        writer.log(99, loss=0.5)
        writer.close()
        assert values_of(read_metrics(path)) == [*values_of(rows[: len(now)]), (99, {"loss": 0.5})], cut
    assert found == len(rows)


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    """A byte changed in any way anywhere leaves rows that are a prefix of the true ones: damage is never shown as numbers."""
    path = tmp_path / "metrics"
    rows = write_file(path, steps=5)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for change in (1, 128, 255):
            damaged = bytearray(whole)
            damaged[at] ^= change
            path.write_bytes(damaged)
            now = read_metrics(path)
            assert now == rows[: len(now)], (at, change)
            assert len(now) < len(rows), (at, change)


def test_a_rewind_voids_later_steps(tmp_path: Path) -> None:
    """After a resume from step 4 the rows of steps 5 and later are gone, those of step 4 stay, new ones follow."""
    path = tmp_path / "metrics"
    write_file(path, steps=6)
    writer = MetricsWriter(path)
    writer.rewind(4)
    writer.log(5, loss=0.9, tokens=1.0)

    rows = read_metrics(path)

    assert [row.step for row in rows] == [1, 2, 3, 4, 4, 5]
    assert rows[-1].values["loss"] == 0.9
    writer.rewind(0)
    assert read_metrics(path) == []


def test_a_follower_is_told_of_a_rewind(tmp_path: Path) -> None:
    """A reader that has shown steps 5 and 6 learns that they are void before it gets them again."""
    path = tmp_path / "metrics"
    write_file(path, steps=6)
    reader = MetricsReader(path)
    assert [row.step for row in reader.read()] == [1, 2, 3, 4, 4, 5, 6]
    assert reader.rewound_to is None
    writer = MetricsWriter(path)
    writer.rewind(5)
    writer.rewind(4)
    writer.log(5, loss=0.9, tokens=1.0)

    assert [row.step for row in reader.read()] == [5]
    assert reader.rewound_to == 4
    assert reader.read() == []
    assert reader.rewound_to is None


def test_a_follower_waits_for_half_a_record(tmp_path: Path) -> None:
    """Read at every byte while it grows, the file gives each row exactly once."""
    path, growing = tmp_path / "whole", tmp_path / "growing"
    rows = write_file(path, steps=5)
    reader, found = MetricsReader(growing), list[Row]()
    with growing.open("wb", buffering=0) as file:
        for byte in path.read_bytes():
            file.write(bytes([byte]))
            found += reader.read()
    assert found == rows


def test_merged_steps_take_the_later_row() -> None:
    """Rows of one step join into one; where both have a value the later wins."""
    rows = [Row(1, 0.0, {"loss": 2.0}), Row(1, 0.0, {"eval_loss": 3.0}), Row(1, 0.0, {"loss": 1.0})]
    assert merge_steps(rows) == {1: {"loss": 1.0, "eval_loss": 3.0}}


def test_acknowledged_rows_survive_sigkill(tmp_path: Path) -> None:
    """Each row whose ``log()`` had returned when the process was killed is in the file."""
    code = """
import os, sys
from pathlib import Path
from peft_studio.core.runs.metrics import MetricsWriter
writer, step = MetricsWriter(Path(sys.argv[1])), 0
while True:
    step += 1
    writer.log(step, loss=1.0 / step, tokens=2.0 * step)
    os.write(1, b"%d\\n" % step)
"""
    for least in (1, 50, 333, 1000):
        path = tmp_path / f"metrics-{least}"
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
            assert child.stdout
            acknowledged = 0
            for line in child.stdout:
                acknowledged = int(line)
                if acknowledged == least:
                    os.kill(child.pid, signal.SIGKILL)
        rows = read_metrics(path)
        assert acknowledged >= least
        assert len(rows) >= acknowledged
        assert values_of(rows) == [(n, {"loss": 1.0 / n, "tokens": 2.0 * n}) for n in range(1, len(rows) + 1)]


def test_a_full_disk_costs_the_row_and_nothing_else(tmp_path: Path) -> None:
    """A row that does not fit raises and leaves no half of itself; once there is room the next one is readable."""
    path = tmp_path / "metrics"
    code = f"""
import resource
from pathlib import Path
from peft_studio.core.runs.metrics import MetricsWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (500, {resource.RLIM_INFINITY}))
writer, done = MetricsWriter(Path({str(path)!r})), 0
try:
    while True:
        writer.log(done + 1, loss=1.0, tokens=2.0); done += 1
except OSError:
    print(done)
resource.setrlimit(resource.RLIMIT_FSIZE, ({resource.RLIM_INFINITY}, {resource.RLIM_INFINITY}))
writer.log(77, loss=3.0, tokens=4.0)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    done = int(answer.stdout)
    assert [row.step for row in read_metrics(path)] == [*range(1, done + 1), 77]


@pytest.mark.parametrize("content", [b"", b"PSM", HEADER, b"something else entirely"])
def test_a_file_without_rows_has_none(tmp_path: Path, content: bytes) -> None:
    """A missing, empty, torn or foreign file is not an error for a reader."""
    path = tmp_path / "metrics"
    assert read_metrics(path) == []
    path.write_bytes(content)
    assert read_metrics(path) == []


def test_more_than_256_kinds_of_rows_are_refused(tmp_path: Path) -> None:
    """The id of a kind of row is one byte; the 257th kind is an error and not a wrong name."""
    writer = MetricsWriter(tmp_path / "metrics")
    for number in range(256):
        writer.log(number, **{f"name{number}": float(number)})
    with pytest.raises(ValueError, match="256"):
        writer.log(256, one_more=1.0)
    rows = read_metrics(tmp_path / "metrics")
    assert values_of(rows) == [(n, {f"name{n}": float(n)}) for n in range(256)]
