"""Timing by the quickest of several, and the fit of what was timed. Knows no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy

LEAST, LONGEST_S = 5, 0.2  # repetitions, and seconds after which no more are made


def time_least(action: Callable[[], Any]) -> float:
    """Seconds of the quickest of several."""
    return min(_timed(action))


def _timed(action: Callable[[], Any]) -> Iterator[float]:
    action()
    began, count = time.perf_counter(), 0
    while count < LEAST or time.perf_counter() - began < LONGEST_S:
        start = time.perf_counter()
        action()
        yield time.perf_counter() - start
        count += 1
        if count >= LEAST and time.perf_counter() - began > LONGEST_S:
            return


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
