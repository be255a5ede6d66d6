"""This machine's speed, measured by the modules that train."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy

from peft_studio.core.compute.speed import parse_speed
from peft_studio.core.system import cpu_has_bf16
from peft_studio.runner.trainer import speed, timing


@pytest.mark.slow
def test_all_that_an_estimate_needs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every precision this CPU multiplies, in both loops; nothing negative, products no faster than a thousand cores."""
    monkeypatch.setattr(timing, "LEAST", 1)
    monkeypatch.setattr(timing, "LONGEST_S", 0.0)
    monkeypatch.setattr(speed, "SIZES", ((1, 64, 64), (2, 64, 64), (1, 64, 128), (1, 128, 64), (1, 128, 128)))
    monkeypatch.setattr(speed, "DROPPED", (1, 64, 64))
    monkeypatch.setattr(speed, "HEAD", (16, 64, 256))
    monkeypatch.setattr(speed, "LARGE_LAYER", speed.SMALL_LAYER)

    found = parse_speed(
        {**speed.measure_speed(), "imports_s": 1.0, "disk_bytes_per_s": 1e9}, name="here", basis="a test"
    )

    for precision in ("fp32", *(["bf16"] if cpu_has_bf16() else [])):
        for loop in ("fast", "reference"):
            one = found.find(precision, loop)
            assert one is not None
            assert one.loop == loop
            assert 1e8 < 1 / one.s_per_flop < 1e14
            assert min(one.fixed_s, one.layer_s, one.weight_s, one.s_per_byte, one.logit_s, one.dropout_s) >= 0
            assert one.fixed_s + one.layer_s + one.s_per_byte + one.weight_s > 0
    assert 1e8 < found.memory_bytes_per_s < 1e13


def test_the_fit_finds_coefficients_that_made_the_times() -> None:
    """Exact times give back what made them; what would be negative is nothing."""
    rows = numpy.array([[1, 1, 2e5, 1e6], [1, 4, 8e5, 4e6], [1, 2, 4e5, 2e7], [1, 2, 6e6, 8e6], [1, 2, 6e6, 6e7]])
    made = numpy.array([1e-3, 4e-3, 5e-10, 1e-10])

    assert timing.fit_seconds(rows, rows @ made) == pytest.approx(made)
    assert min(timing.fit_seconds(rows, rows @ numpy.array([-5e-3, 4e-3, 5e-10, 1e-10]))) == 0
