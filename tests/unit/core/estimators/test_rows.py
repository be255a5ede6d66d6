"""What a loop computes of rows of unequal length."""

from __future__ import annotations

import random
from statistics import mean

import pytest

from peft_studio.core.estimators import build_row_mix


def test_equal_rows_have_no_padding() -> None:
    """Mean, widest and weighted are one number."""
    mix = build_row_mix([64.0] * 16, max_length=128, batch_size=4)

    assert (mix.mean, mix.widest, mix.weighted) == pytest.approx((64.0, 64.0, 64.0))


def test_rows_are_cut() -> None:
    """Nothing is longer than max_length."""
    mix = build_row_mix([32.0, 500.0], max_length=100, batch_size=8)

    assert mix.mean == pytest.approx(66.0)
    assert mix.widest <= 100


@pytest.mark.parametrize("batch", [1, 2, 4, 8])
def test_the_longest_of_a_batch_is_what_drawing_gives(batch: int) -> None:
    """Within 3 % of the mean over many drawn micro-batches."""
    draw = random.Random(0)
    lengths = sorted(draw.lognormvariate(4.5, 0.4) for _ in range(4000))
    groups = [mean(lengths[at * 250 : (at + 1) * 250]) for at in range(16)]
    drawn = mean(max(draw.choices(lengths, k=batch)) for _ in range(20_000))

    mix = build_row_mix(groups, max_length=10_000, batch_size=batch)

    assert mix.widest == pytest.approx(drawn, rel=0.03)
    assert mix.weighted == pytest.approx(sum(x * x for x in lengths) / sum(lengths), rel=0.03)


def test_unknown_lengths_say_so() -> None:
    """From the 95th percentile alone a mix is a guess, and marked as one."""
    mix = build_row_mix([], max_length=512, batch_size=4, p95=200)

    assert not mix.known
    assert mix.mean < mix.widest < 200
