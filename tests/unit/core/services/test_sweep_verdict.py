"""Which learning rate was best: a real difference is found, noise is not taken for one, an edge is told."""

from __future__ import annotations

import random
from math import exp

import pytest

from peft_studio.core.services.sweep_verdict import SURE, Recommendation, Trial, judge_trials

RATES = (1e-4, 3e-4, 9e-4)


def curves(
    gains: tuple[float, ...], *, noise: float = 0.2, own: float = 0.02, steps: int = 30, seed: int = 0
) -> list[Trial]:
    """Losses that fall by ``gains``; what is hard about a batch is common to all, and each has a little noise of its own."""
    chance = random.Random(seed)
    batches = [chance.gauss(0, noise) for _ in range(steps)]
    return [
        Trial(rate, rate / RATES[1], {step + 1: 3 - gain * (1 - exp(-step / 8)) + batches[step] + chance.gauss(0, own) for step in range(steps)})
        for rate, gain in zip(RATES, gains, strict=True)
    ]  # fmt: skip


def judge(trials: list[Trial]) -> Recommendation:
    return judge_trials(trials, rows_per_step=8)


@pytest.mark.parametrize(
    ("gains", "at", "edge"),
    [((0.5, 1.0, 0.6), 1, None), ((1.0, 0.8, 0.5), 0, "lowest"), ((0.4, 0.7, 1.0), 2, "highest")],
)
def test_a_real_difference_is_found_under_common_noise(gains: tuple[float, ...], at: int, edge: str | None) -> None:
    """Batches differ ten times more than the rates do, but they are the same batches."""
    found = judge(curves(gains))
    assert found.clear
    assert found.learning_rate == RATES[at]
    assert found.edge == edge
    assert found.changes == {"learning_rate": RATES[at]}
    assert ("sweep again" in found.why) == (edge is not None)


def test_noise_is_rarely_taken_for_a_difference() -> None:
    """Where the rates are as good as each other, at most about one sweep in ten names a winner; then the default is kept."""
    found = [judge(curves((0.8, 0.8, 0.8), own=0.1, seed=seed)) for seed in range(200)]
    unclear = [one for one in found if not one.clear]
    assert len(unclear) >= 175
    assert sum(one.learning_rate == RATES[1] for one in unclear) >= 150
    assert "No clear winner" in unclear[0].why


def test_a_difference_as_large_as_its_noise_names_no_winner() -> None:
    """And the standings say by how much each is behind."""
    found = judge(curves((0.80, 0.81, 0.3), own=0.1))
    assert not found.clear
    assert found.learning_rate in RATES[:2]
    worst = found.standings[2]
    assert worst.behind is not None
    assert worst.noise is not None
    assert worst.behind > SURE * worst.noise
    assert not worst.tied


def test_what_diverged_cannot_win() -> None:
    """The others are compared; when all have, there is no rate to recommend."""
    trials = curves((0.8, 1.0, 0.0))
    lost = [Trial(one.learning_rate, one.factor, {1: 3.0, 2: 900.0}, diverged=True) for one in trials]
    found = judge([*trials[:2], lost[2]])
    assert found.learning_rate == RATES[1]
    assert found.edge is None
    assert found.standings[2].loss is None
    nothing = judge(lost)
    assert (nothing.learning_rate, nothing.changes, nothing.clear) == (None, {}, False)
    assert "diverged" in nothing.why


def test_held_out_rows_decide_where_there_are_any() -> None:
    """Their loss is the score, and more of them make it surer."""
    base = curves((0.9, 0.9, 0.9), own=0.1)

    def with_rows(rows: int) -> Recommendation:
        losses = (1.30, 1.20, 1.29)
        return judge([
            Trial(one.learning_rate, one.factor, one.losses, eval_loss=loss, eval_rows=rows)
            for one, loss in zip(base, losses, strict=True)
        ])  # fmt: skip

    few, many = with_rows(4), with_rows(4000)
    assert not few.clear
    assert many.clear
    assert many.learning_rate == RATES[1]
    assert "held-out" in many.why
    assert many.standings[0].behind == pytest.approx(0.1)


def test_too_few_steps_are_no_evidence() -> None:
    """With two or three steps nobody knows the noise."""
    found = judge(curves((0.5, 1.0, 0.6), steps=3))
    assert not found.clear
    assert "too few steps" in found.why
