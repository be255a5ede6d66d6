"""An estimate lies within its own range."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peft_studio.core.estimators import Estimate


def test_a_value_outside_its_range_is_refused() -> None:
    """A number that its own range excludes would be shown to somebody who pays by it."""
    with pytest.raises(ValueError, match="does not"):
        Estimate(3, 1, 2, "s", "a guess")


def test_dollars_are_decimal() -> None:
    """Money is compared and kept exactly."""
    cost = Estimate(Decimal("0.36"), Decimal("0.31"), Decimal("0.42"), "usd", "an offer's price")
    assert cost.value + cost.low == Decimal("0.67")
