"""Timing by the quickest of several, and the fit of what was timed. Knows no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy

LEAST, LONGEST_S = 5, 0.2  # repetitions, and seconds after which no more are made
FEWEST, PATIENCE_S = (
    2,
    0.6,
)  # on a machine that others use every repetition takes long, and there are fifty things to time


def time_least(action: Callable[[], Any]) -> float:
    """Seconds of the quickest of several."""
    return min(_timed(action))


def _timed(action: Callable[[], Any]) -> Iterator[float]:
    action()
    began, count, spent = time.perf_counter(), 0, 0.0
    while not ((count >= LEAST and spent > LONGEST_S) or (count >= FEWEST and spent > PATIENCE_S)):
        start = time.perf_counter()
        action()
        yield time.perf_counter() - start
        count, spent = count + 1, time.perf_counter() - began


def fit_seconds(rows: numpy.ndarray, times: numpy.ndarray) -> list[float]:
    """Coefficients, none negative, with the least relative error: all, then without those that would be negative."""
    weighted, ones = rows / times[:, None], numpy.ones(len(times))
    use = list(range(rows.shape[1]))
    while use:
        # columns differ by fifteen orders of magnitude
        scale = weighted[:, use].max(axis=0)
        solved = numpy.linalg.lstsq(weighted[:, use] / scale, ones, rcond=None)[0] / scale
        if (solved >= 0).all():
            return [float(solved[use.index(at)]) if at in use else 0.0 for at in range(rows.shape[1])]
        use.pop(int(numpy.argmin(solved * scale)))
    return [0.0] * rows.shape[1]
