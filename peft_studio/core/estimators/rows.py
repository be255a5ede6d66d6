"""From row lengths to what a loop computes: mean length, padding, attention, positions that are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN_LEARNT = 0.5


@dataclass(frozen=True, slots=True)
class RowMix:
    """Rows as training sees them, cut at ``max_length``.

    Attributes:
        mean: Tokens of a row.
        weighted: Σ len² / Σ len: the length of the row that a token stands in.
        widest: Expected longest row of a micro-batch, so what a padding loop computes for each.
        longest: Of all.
        learnt: Share of the tokens that the loss is on.
        shared: Tokens that all rows begin with.
        known: Whether lengths were counted; else they are a guess from their 95th percentile.
    """

    mean: float
    weighted: float
    widest: float
    longest: float
    learnt: float
    shared: int = 0
    known: bool = True


def build_row_mix(
    lengths: Sequence[float],
    *,
    max_length: int,
    batch_size: int,
    learnt_share: float | None = None,
    shared: int = 0,
    p95: int | None = None,
) -> RowMix:
    """The mix of rows of these lengths, each of which stands for as many rows; without any, a guess from the 95th percentile.

    What is longer than ``max_length`` is cut to it; ``batch_size`` rows are drawn at random for a micro-batch.
    """
    learnt = UNKNOWN_LEARNT if learnt_share is None else learnt_share
    cut = sorted(min(float(max_length), length) for length in lengths)
    if not cut:
        typical = min(max_length, (p95 or max_length) * 0.6)
        widest = typical if batch_size == 1 else min(max_length, (p95 or max_length) * 0.8)
        return RowMix(typical, typical * 1.15, widest, widest, learnt, min(shared, int(typical) - 1), known=False)
    count, total = len(cut), sum(cut)
    # E[longest of n] = Σ length · P(it is the longest), for n draws from equally likely groups
    shares = [((at + 1) / count) ** batch_size - (at / count) ** batch_size for at in range(count)]
    widest = sum(length * share for length, share in zip(cut, shares, strict=True))
    weighted = sum(length * length for length in cut) / total
    return RowMix(total / count, weighted, widest, cut[-1], learnt, min(shared, int(total / count)))
