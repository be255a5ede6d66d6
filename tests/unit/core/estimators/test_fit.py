"""The badge's rule."""

from __future__ import annotations

import pytest

from peft_studio.core.estimators import Estimate, find_fit
from peft_studio.core.estimators.fit import fit_sentence

GIB = 2.0**30


@pytest.mark.parametrize(
    ("value", "high", "of", "badge"),
    [(10, 12, 24, "ok"), (10, 21.12, 24, "ok"), (10, 21.2, 24, "tight"), (23.9, 30, 24, "tight"), (24.1, 30, 24, "wont-fit"), (10, 12, None, "unknown")],
)  # fmt: skip
def test_badge(value: float, high: float, of: float | None, badge: str) -> None:
    """OK leaves 12 % free at the high end; Tight fits by its value; what does not fit by its value won't."""
    memory = Estimate(value * GIB, value * GIB, high * GIB, "bytes", "a test")

    assert find_fit(memory, of and of * GIB) == badge


@pytest.mark.parametrize("device", [4, 8, 11, 16, 24, 48, 80])
def test_more_memory_never_fits_less(device: float) -> None:
    """Badges only get better with a bigger device, and only worse with a bigger need."""
    order = ["wont-fit", "tight", "ok"]
    memory = Estimate(10 * GIB, 9 * GIB, 13 * GIB, "bytes", "a test")
    bigger = Estimate(11 * GIB, 9 * GIB, 15 * GIB, "bytes", "a test")

    here = order.index(find_fit(memory, device * GIB))

    assert here <= order.index(find_fit(memory, (device + 1) * GIB))
    assert here >= order.index(find_fit(bigger, device * GIB))


def test_sentence() -> None:
    """Estimate, range and device in one line; what is not known is a dash."""
    memory = Estimate(10 * GIB, 9 * GIB, 13.04 * GIB, "bytes", "a test")

    assert fit_sentence(memory, 24 * GIB) == "needs 10.0 (9.0–13.0) of 24.0 GiB"
    assert fit_sentence(None, None) == "needs — of — GiB"
