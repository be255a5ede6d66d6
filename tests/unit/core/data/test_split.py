from __future__ import annotations

import pytest

from peft_studio.core.data.split import held_out_count, held_out_rows


@pytest.mark.parametrize(
    ("rows", "split", "count"),
    [(100, 0.1, 10), (100, 0.0, 0), (10, 0.01, 1), (2, 0.99, 1), (1, 0.5, 0), (0, 0.5, 0), (101, 0.5, 50)],
)
def test_held_out_count(rows: int, split: float, count: int) -> None:
    """The share is rounded, at least one row if any is asked for, and never every row."""
    assert held_out_count(rows, split) == count
    assert len(held_out_rows(rows, split, seed=3)) == count


def test_the_split_is_a_function_of_seed_and_row_count() -> None:
    """The same on every machine and Python version: these numbers were drawn once and may never change."""
    assert sorted(held_out_rows(20, 0.25, seed=7)) == [4, 6, 8, 15, 18]
    assert held_out_rows(20, 0.25, seed=8) != held_out_rows(20, 0.25, seed=7)


def test_every_row_is_as_likely_as_any_other() -> None:
    """Over many seeds each of ten rows is held out about three times in ten."""
    counts = [0] * 10
    for seed in range(2000):
        for row in held_out_rows(10, 0.3, seed=seed):
            counts[row] += 1
    assert all(480 < count < 720 for count in counts)  # 600 expected; ±120 is more than 5 standard deviations
