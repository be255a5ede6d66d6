"""Caps as people say them, and the cap that is proposed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from peft_studio.core.estimators import Estimate
from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.rent.caps import read_caps, suggest_usd


def offer(usd_per_hour: str) -> Offer:
    return Offer(
        id="x", provider="p", gpu="NVIDIA L4", gpu_count=1, usd_per_hour=Decimal(usd_per_hour), seen_at=datetime.now(UTC)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "high", "proposed"),
    [("0.39", 0.15, "0.30"), ("0.39", 0.0, "0.20"), ("2", 9.1, "9.80"), ("2", 9.9, "11.00"), ("30", 100.0, "120.00")],
)
def test_the_proposed_cap_is_above_the_high_end_and_pays_for_a_machine(rate: str, high: float, proposed: str) -> None:
    """Rounded up in steps that a person would choose, and always one that is taken."""
    made = suggest_usd(offer(rate), Estimate(high / 2, 0.0, high, "usd", ""))

    assert str(made) == proposed
    assert read_caps([offer(rate)], max_usd=made, max_hours=None).budget_usd == made


def test_no_cap_is_proposed_for_what_nobody_knows() -> None:
    """Who confirms has to name one."""
    assert suggest_usd(offer("1"), None) is None


@pytest.mark.parametrize(
    ("usd", "hours", "latest_s"), [("1", 24.0, 7200.0), ("100", 24.0, 86_400.0), (None, 2.0, 7200.0)]
)
def test_a_machine_lives_no_longer_than_its_cap_pays_for(usd: str | None, hours: float, latest_s: float) -> None:
    """Or than its own limit."""
    assert read_caps([offer("0.50")], max_usd=usd, max_hours=hours).latest_s(offer("0.50")) == latest_s
