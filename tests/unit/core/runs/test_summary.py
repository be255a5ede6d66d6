"""The curve that a writer keeps beside its metrics: what readers see with it is what they see without."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import astuple
from itertools import chain
from pathlib import Path

import pytest

from peft_studio.core.runs import metrics, summing
from peft_studio.core.runs.curve import Curve
from peft_studio.core.runs.metrics import MetricsWriter, read_metrics
from peft_studio.core.runs.summary import read_summary
from peft_studio.core.runs.summing import summary_path
from peft_studio.widgets._losses import Loss

ROWS = 4000


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Summaries from the thousandth row on, every five hundred, and readers that make use of them."""
    for name, value in {"_MANY": 1000, "_ROWS": 500, "_LAST": 300}.items():
        monkeypatch.setattr(summing, name, value)
    monkeypatch.setattr(metrics, "_MANY", 1000)


def log(writer: MetricsWriter, first: int, last: int, *, scale: float = 1.0) -> None:
    for step in range(first, last + 1):
        writer.log(step, loss=scale * (2.0 / step + 0.01 * (step % 7)), tokens=10.0 * step, time_s=0.5 * step)
        if step % 500 == 0:
            writer.log(step, eval_loss=1.0)


def shown(path: Path) -> tuple[list[tuple[float, ...]], float | None]:
    loss = Loss(path)
    loss.read()
    return [astuple(bucket) for bucket in loss.curve.buckets], loss.pace.tokens_per_s()


def expect_the_same(path: Path) -> None:
    """What is shown with the summary is what the rows alone give."""
    alone = path.parent / "alone" / "metrics"
    alone.parent.mkdir(exist_ok=True)
    shutil.copy(path, alone)
    (buckets, pace), (expected, expected_pace) = shown(path), shown(alone)
    assert len(buckets) == len(expected)
    assert list(chain(*buckets)) == pytest.approx(list(chain(*expected)), rel=1e-12, nan_ok=True)
    assert pace == expected_pace
    assert sum(bucket[6] for bucket in buckets) == sum("loss" in row.values for row in read_metrics(path))


def test_a_curve_comes_back_as_it_was(tmp_path: Path) -> None:
    """Packed and unpacked it goes on as if nothing had been."""
    log(MetricsWriter(tmp_path / "metrics"), 1, 3000)
    rows = read_metrics(tmp_path / "metrics")
    whole, part = Curve(), Curve()
    whole.add(rows)
    part.add(rows[:1700])
    part = Curve.unpack(part.pack())
    part.add(rows[1700:])

    assert part.pack() == whole.pack()
    assert Curve.unpack(Curve().pack()).buckets == []


def test_with_a_summary_a_long_run_looks_the_same(soon: None, tmp_path: Path) -> None:
    """Most of its rows are not read again, and the newest are never in the summary."""
    path = tmp_path / "metrics"
    writer = MetricsWriter(path)
    log(writer, 1, ROWS)
    found = read_summary(path)
    assert found is not None
    assert ROWS - 1000 <= found[0].last_step <= ROWS - 256
    expect_the_same(path)

    log(writer, ROWS + 1, ROWS + 77)
    expect_the_same(path)


@pytest.mark.parametrize("back_to", [ROWS - 5, ROWS - 2500])
def test_after_a_resume_that_went_back_it_looks_the_same(soon: None, tmp_path: Path, back_to: int) -> None:
    """Whether or not the writer had time to take its summary away, and when it has made another one."""
    path = tmp_path / "metrics"
    log(MetricsWriter(path), 1, ROWS)
    before = summary_path(path).read_bytes()
    writer = MetricsWriter(path)
    writer.rewind(back_to)
    assert not summary_path(path).exists()
    log(writer, back_to + 1, back_to + 10, scale=3.0)
    expect_the_same(path)
    summary_path(path).write_bytes(before)
    expect_the_same(path)

    log(writer, back_to + 11, back_to + 2500, scale=3.0)
    assert read_summary(path)
    assert summary_path(path).read_bytes() != before
    expect_the_same(path)


def spoil(data: bytes) -> bytes:
    return data[:900] + bytes([data[900] ^ 1]) + data[901:]


@pytest.mark.parametrize("harm", [spoil, lambda data: data[:-1], lambda _data: b"", lambda data: data[:15]])
def test_a_damaged_summary_is_not_taken(soon: None, tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    """A bit flipped, cut short, or empty: the rows are read."""
    path = tmp_path / "metrics"
    log(MetricsWriter(path), 1, 3000)
    summary = summary_path(path)
    assert read_summary(path)
    summary.write_bytes(harm(summary.read_bytes()))

    assert read_summary(path) is None
    expect_the_same(path)


def test_a_summary_of_another_file_is_not_taken(soon: None, tmp_path: Path) -> None:
    """As when a run's folder was put together from two."""
    for name in ("one", "other"):
        log(MetricsWriter(tmp_path / name), 1, 3000, scale=1.0 if name == "one" else 2.0)
    shutil.copy(summary_path(tmp_path / "other"), summary_path(tmp_path / "one"))

    assert read_summary(tmp_path / "one") is None
    expect_the_same(tmp_path / "one")
