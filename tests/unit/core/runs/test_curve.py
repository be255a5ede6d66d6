"""Rows joined into buckets."""

from __future__ import annotations

import json
import math
import random
import struct
from dataclasses import astuple
from pathlib import Path

import pytest

from peft_studio.core.runs.columns import Columns, take_columns
from peft_studio.core.runs.curve import COLUMNS, MAX_BUCKETS, Curve
from peft_studio.core.runs.metrics import MetricsWriter, Row


def rows(count: int, start: int = 1) -> list[Row]:
    return [
        Row(step, 100.0 + step, {"loss": 1.0 / step, "tokens": step * 10.0}) for step in range(start, start + count)
    ]


def test_few_rows_are_kept_as_they_are() -> None:
    """Below the limit every row is a bucket of its own."""
    curve = Curve()
    curve.add(rows(500))

    assert [bucket.mean for bucket in curve.buckets] == [1.0 / step for step in range(1, 501)]
    assert [bucket.time_s for bucket in curve.buckets[:2]] == [0.0, 1.0]
    assert curve.generation == 0


def test_many_rows_stay_bounded_and_keep_sum_and_extremes() -> None:
    """A hundred thousand rows are at most a thousand buckets, whose mean is the mean of the rows and whose spike is the rows' spike."""
    curve = Curve()
    given = rows(100_000)
    given[77_777] = Row(77_778, 0.0, {"loss": 9.0})
    curve.add(given)

    assert len(curve.buckets) <= MAX_BUCKETS
    assert sum(bucket.count for bucket in curve.buckets) == 100_000
    mean = sum(bucket.mean * bucket.count for bucket in curve.buckets) / 100_000
    assert math.isclose(mean, sum(row.values["loss"] for row in given) / 100_000)
    assert max(bucket.high for bucket in curve.buckets) == 9.0
    assert min(bucket.low for bucket in curve.buckets) == 1.0 / 100_000
    assert curve.buckets[-1].step == 100_000
    steps = [bucket.step for bucket in curve.buckets]
    assert steps == sorted(steps)


def test_rows_one_by_one_are_the_same_as_at_once() -> None:
    """What a chart shows does not depend on when it was looked at."""
    once, piecemeal = Curve(), Curve()
    once.add(rows(5000))
    for row in rows(5000):
        piecemeal.add([row])

    assert piecemeal.encode() == once.encode()


def test_a_loss_that_is_no_number_is_a_gap() -> None:
    """NaN and infinity are neither drawn nor averaged, and do not spoil their neighbours when buckets join."""
    curve = Curve()
    given = [Row(step, 0.0, {"loss": math.nan if step % 3 else step}) for step in range(3 * MAX_BUCKETS)]
    curve.add([*given, Row(9000, 0.0, {"loss": math.inf})])

    for bucket in curve.buckets[:-1]:
        first = int(bucket.step - bucket.count + 1)
        numbers = [step for step in range(first, int(bucket.step) + 1) if step % 3 == 0]
        assert math.isclose(bucket.mean, sum(numbers) / len(numbers), abs_tol=1e-9)
    assert math.isnan(curve.buckets[-1].mean)


def test_rows_without_a_loss_are_no_training_rows() -> None:
    """An evaluation's row does not make a point."""
    curve = Curve()
    curve.add([Row(1, 0.0, {"eval_loss": 1.0})])

    assert curve.buckets == []


def test_encode_gives_columns_of_float64() -> None:
    """A chunk is one block, a column after the other, from the bucket asked for."""
    curve = Curve()
    curve.add(rows(3))

    block = curve.encode(1)

    values = struct.unpack(f"<{len(COLUMNS) * 2}d", block)
    assert values[:2] == (2.0, 3.0)  # steps
    at = COLUMNS.index("mean") * 2
    assert values[at : at + 2] == (1 / 2, 1 / 3)
    assert math.isnan(values[-1])  # no gradient norm was logged


def test_clear_is_a_new_generation() -> None:
    """Whoever has read buckets can tell that they are no longer true."""
    curve = Curve()
    curve.add(rows(3))
    before = curve.generation
    curve.clear()

    assert (curve.buckets, curve.generation) == ([], before + 1)


def all_columns(path: Path) -> Columns:
    """A file's rows as one stretch: its end too, which the reader leaves for rows."""
    data = path.read_bytes()
    start = 14 + int.from_bytes(data[12:14], "little") + 4  # header and declaration
    return take_columns(memoryview(data), start, tuple(json.loads(data[14 : start - 4])))


@pytest.mark.parametrize("count", [1, 37, 1000, 1001, 5000, 100_000])
def test_columns_make_the_same_buckets_as_rows(tmp_path: Path, count: int) -> None:
    """At once, or in uneven stretches as a live file is read: the same buckets as row by row, gaps and spikes included."""
    draw = random.Random(count)
    writer = MetricsWriter(tmp_path / "metrics")
    for step in range(count):
        loss = draw.choice([math.nan, math.inf, 50.0]) if draw.random() < 0.02 else draw.random()
        norm = math.nan if draw.random() < 0.1 else draw.random()
        tokens = math.nan if draw.random() < 0.1 else 10.0 * step
        writer.log(step, loss=loss, grad_norm=norm, tokens=tokens, learning_rate=2e-4, time_s=0.5 * step)
    writer.close()
    columns = all_columns(tmp_path / "metrics")
    by_row, once, uneven = Curve(), Curve(), Curve()
    by_row.add(columns.rows())
    once.add_columns(columns)
    at = 0
    while at < count:
        part = columns.after(at)
        some = draw.choice([1, 3, 700, 4000, 30_000])
        uneven.add_columns(Columns(part.names, part.table[:some]))
        at += some

    for curve in (once, uneven):
        assert math.isclose(curve.first_loss, by_row.first_loss)
        assert (curve.first_at, curve.last_step) == (by_row.first_at, by_row.last_step)
        assert len(curve.buckets) == len(by_row.buckets)
        for found, expected in zip(curve.buckets, by_row.buckets, strict=True):
            assert astuple(found) == pytest.approx(astuple(expected), rel=1e-12, nan_ok=True)


def test_columns_with_two_rows_of_one_step(tmp_path: Path) -> None:
    """Rows of one step share a bucket, as they do when they come one by one."""
    writer = MetricsWriter(tmp_path / "metrics")
    for step in range(3000):
        writer.log(step // 3, loss=float(step))
    columns = all_columns(tmp_path / "metrics")
    by_row, once = Curve(), Curve()
    by_row.add(columns.rows())
    once.add_columns(columns)

    assert [bucket.count for bucket in once.buckets] == [3.0] * 1000
    assert once.encode() == by_row.encode()
