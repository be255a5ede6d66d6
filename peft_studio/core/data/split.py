"""Which rows are held out: a pure function of the seed and the number of rows, the same on every machine and Python."""

from __future__ import annotations

import random


def held_out_count(rows: int, split: float) -> int:
    """How many of ``rows`` to hold out: ``round(rows × split)``, at least one if any share is asked, and never all."""
    if split <= 0 or rows < 2:
        return 0
    return min(max(1, round(rows * split)), rows - 1)


def held_out_rows(rows: int, split: float, seed: int) -> frozenset[int]:
    """Row numbers held out for evaluation.

    Floyd's sampling, which needs memory for the held-out rows only. It draws with ``random()`` alone, the one method
    whose sequence Python promises to keep from version to version.
    """
    count = held_out_count(rows, split)
    rng = random.Random(f"peft-studio split {seed} {rows}")  # noqa: S311 - a split is no secret
    chosen: set[int] = set()
    for last in range(rows - count, rows):
        pick = int(rng.random() * (last + 1))
        chosen.add(last if pick in chosen else pick)
    return frozenset(chosen)
