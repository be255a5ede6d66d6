"""Waits double, have a limit, differ, and are never shorter than the other side asked for."""

from __future__ import annotations

import pytest

from peft_studio.core.offline.backoff import LONGEST_S, LONGEST_TOLD_S, wait_s


@pytest.mark.parametrize(
    ("tries", "roll", "told", "expected"),
    [
        (1, 0.0, None, 1.0), (1, 1.0, None, 2.0), (2, 0.0, None, 2.0), (5, 1.0, None, 32.0), (50, 1.0, None, LONGEST_S),
        (10_000, 0.0, None, LONGEST_S / 2), (1, 0.0, 120.0, 120.0), (1, 1.0, 120.0, 132.0), (1, 0.5, 0.0, 1.5),
        (1, 0.5, -7.0, 1.5), (1, 0.0, 1e12, LONGEST_TOLD_S), (9, 0.0, 1.0, 256.0),
    ],
)  # fmt: skip
def test_waits(tries: int, roll: float, told: float | None, expected: float) -> None:
    """By number of failures, by chance, by what was told."""
    assert wait_s(tries, roll, told) == pytest.approx(expected)


@pytest.mark.parametrize("told", [0.5, 3.0, 3600.0, LONGEST_TOLD_S])
def test_never_sooner_than_told(told: float) -> None:
    """Whatever the chance."""
    assert all(wait_s(tries, roll / 10, told) >= told for tries in range(1, 20) for roll in range(10))
