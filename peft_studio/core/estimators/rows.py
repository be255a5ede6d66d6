"""From a histogram of row lengths to what a loop computes: mean length, padding, attention, positions that are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Histogram = Sequence[tuple[int, int, int]]  # (from, up to and with, rows)
UNKNOWN_LEARNT = 0.5


@dataclass(frozen=True, slots=True)
class RowMix:
    """Rows as training sees them, cut at ``max_length``.

    Attributes:
        mean: Tokens of a row.
        weighted: Σ len² / Σ len: the length of the row that a token stands in.
        widest: Expected longest row of a micro-batch, so what a padding loop computes for each.
        learnt: Share of the tokens that the loss is on.
        shared: Tokens that all rows begin with.
        known: Whether lengths were counted; else they are a guess from their 95th percentile.
    """

    mean: float
    weighted: float
    widest: float
    learnt: float
    shared: int = 0
    known: bool = True


def build_row_mix(
    histogram: Histogram,
    *,
    max_length: int,
    batch_size: int,
    learnt_share: float | None = None,
    shared: int = 0,
    p95: int | None = None,
) -> RowMix:
    """The mix of rows that a histogram shows; without one, a guess from the 95th percentile, else from ``max_length``."""
    learnt = UNKNOWN_LEARNT if learnt_share is None else learnt_share
    bins = [(min(max_length, (low + high) / 2), count) for low, high, count in histogram if count]
    rows = sum(count for _, count in bins)
    if not rows:
        typical = min(max_length, (p95 or max_length) * 0.6)
        widest = typical if batch_size == 1 else min(max_length, (p95 or max_length) * 0.8)
        return RowMix(typical, typical * 1.15, widest, learnt, min(shared, int(typical) - 1), known=False)
    total = sum(length * count for length, count in bins)
    squares = sum(length * length * count for length, count in bins)
    widest, below = 0.0, 0.0
    for length, count in sorted(bins):
        share = below + count / rows
        widest += length * (share**batch_size - below**batch_size)
        below = share
    return RowMix(total / rows, squares / total, widest, learnt, min(shared, int(total / rows)))
