"""What runs teach: little while they are few, all of it when they are many, and never on top of itself."""

from __future__ import annotations

import pytest

from peft_studio.core.estimators import Correction, Estimate, Outcome, learn_corrections
from peft_studio.core.estimators.corrections import MOST, apply_correction


def outcomes(ratio: float, count: int) -> list[Outcome]:
    return [Outcome("cpu", "llama", "lora", "training", 10.0, 10.0 * ratio) for _ in range(count)]


def learned(ratio: float, count: int) -> Correction:
    return learn_corrections(outcomes(ratio, count))["cpu", "llama", "lora", "training"]


def test_one_run_moves_little_many_move_all() -> None:
    """The factor goes from near 1 towards the ratio as runs come in."""
    factors = [learned(2.0, count).factor for count in (1, 2, 4, 16, 64)]

    assert factors == sorted(factors)
    assert factors[0] == pytest.approx(2 ** (1 / 3))
    assert factors[-1] == pytest.approx(2.0, rel=0.03)
    assert learned(0.5, 4).factor == pytest.approx(1 / learned(2.0, 4).factor)


def test_one_disturbed_run_does_not_spoil_the_rest() -> None:
    """A run on a busy machine is outvoted by the others."""
    found = learn_corrections([*outcomes(1.1, 6), *outcomes(50.0, 1)])["cpu", "llama", "lora", "training"]

    assert found.factor == pytest.approx(1.1, rel=0.05)
    assert learned(1000.0, 50).factor <= MOST


def test_runs_of_another_device_teach_nothing() -> None:
    """Device, family, method and quantity are learned apart; nothing predicted or measured is nothing learned."""
    other = Outcome("gpu", "llama", "lora", "training", 1.0, 3.0)
    broken = Outcome("cpu", "qwen2", "lora", "training", 0.0, 3.0)

    assert set(learn_corrections([*outcomes(2.0, 1), other, broken])) == {outcomes(2.0, 1)[0].key, other.key}


def test_parts_are_corrected_and_the_basis_says_so() -> None:
    """Value is the sum of the corrected parts, the range moves along, the sentence names runs and factor."""
    estimate = Estimate(12.0, 6.0, 24.0, "s", "counted", {"set-up": 2.0, "training": 10.0})

    found = apply_correction(estimate, {"training": Correction(1.5, 2, 0.3)})

    assert found.value == pytest.approx(17.0)
    assert found.parts == {"set-up": 2.0, "training": 15.0}
    assert (found.low, found.high) == (pytest.approx(8.5), pytest.approx(34.0))
    assert found.basis == "counted; corrected ×1.42 by 2 finished runs here"


def test_many_runs_that_agree_narrow_the_range() -> None:
    """A range is narrowed by what was seen, never widened, and holds the value."""
    estimate = Estimate(10.0, 5.0, 30.0, "s", "counted", {"training": 10.0})

    found = apply_correction(estimate, {"training": learned(1.2, 30)})

    assert found.low <= found.value <= found.high
    assert float(found.high) / float(found.low) < 1.2
    assert apply_correction(estimate, {}) is estimate
