"""Buckets of a curve made from columns: what ``Curve.add`` makes row by row, a thousand times as fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from peft_studio.core.runs.columns import Columns
from peft_studio.core.runs.curve import Bucket

Numbers = NDArray[np.float64]
_ROWS = 8192  # joined at a time: columns of so many stay in a cache, and their memory is used again


def rises(columns: Columns, *, after: float) -> bool:
    """Whether every row has a later step than the one before it."""
    steps = columns.column("step")
    return bool(steps[0] > after and (steps[1:] > steps[:-1]).all())


def build_buckets(columns: Columns, size: int, *, first_at: float) -> list[Bucket]:
    """Buckets of ``size`` rows each; the last one may hold fewer."""
    found: list[Bucket] = []
    part = max(size, _ROWS // size * size)
    for start in range(0, len(columns), part):
        found += _build(columns.after(start, part), size, first_at)
    return found


def _build(columns: Columns, size: int, first_at: float) -> list[Bucket]:
    starts = np.arange(0, len(columns), size)
    last = np.minimum(starts + size, len(columns)) - 1
    count = last + 1.0 - starts
    loss, finite = _column(columns, "loss"), count
    if not (numbers := np.isfinite(loss)).all():
        loss[~numbers], finite = np.nan, np.add.reduceat(numbers, starts, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # no loss in a bucket: 0/0 is the NaN that stands for it
        mean = np.add.reduceat(loss if finite is count else np.nan_to_num(loss), starts) / finite
    at = columns.column("time_s") if "time_s" in columns.names else columns.column("at") - first_at
    found = (
        columns.column("step")[last].astype(np.float64),
        at[last],
        _last_number(_column(columns, "tokens"), starts, last),
        np.fmin.reduceat(loss, starts),
        np.fmax.reduceat(loss, starts),
        mean,
        count,
        _last_number(_column(columns, "learning_rate"), starts, last),
        np.fmax.reduceat(_column(columns, "grad_norm"), starts),
        finite,
    )
    return list(map(Bucket, *(one.tolist() for one in found)))


def _column(columns: Columns, name: str) -> Numbers:
    if name not in columns.names:
        return np.full(len(columns), np.nan)
    return np.array(columns.column(name), dtype=np.float64)


def _last_number(values: Numbers, starts: NDArray[np.intp], last: NDArray[np.intp]) -> Numbers:
    """The last value of each bucket that is a number."""
    found = values[last]
    for bucket in np.flatnonzero(np.isnan(found)):
        numbers = values[starts[bucket] : last[bucket] + 1]
        numbers = numbers[~np.isnan(numbers)]
        found[bucket] = numbers[-1] if len(numbers) else np.nan
    return found
