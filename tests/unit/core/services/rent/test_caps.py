"""Caps as people say them, and the cap that is proposed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from peft_studio.core.errors import SpecError
from peft_studio.core.estimators import Estimate
from peft_studio.core.ports.offers import Offer
from peft_studio.core.ports.rental import Way
from peft_studio.core.services.rent.caps import read_caps, read_month_cap, read_usd, suggest_usd
from peft_studio.core.services.rent.credentials import make_credentials
from peft_studio.core.services.rent.order import build_rent
from tests.unit.core.services.rent.world import intent


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


def test_a_cap_that_nobody_means_is_refused() -> None:
    """Of a run and of a month, with the highest."""
    for read in (read_usd, read_month_cap):
        assert read("1000000") == 1_000_000
        for wrong in (1e30, "1000000.01"):
            with pytest.raises(SpecError, match=r"is \$1,000,000 at most, not \$1"):
                read(wrong)


def test_what_waiting_costs_is_in_the_caps() -> None:
    """The default is in the cap that is proposed; a longer one has to fit in what was named, with minutes to train beside it."""
    caps = read_caps([offer("0.40")], max_usd="5", max_hours=None, keep_minutes=480)
    assert (caps.keep_s, caps.keep_usd(offer("0.40"))) == (28_800.0, Decimal("3.2"))
    for usd, hours in (("3.20", None), ("5", 8.0)):
        with pytest.raises(SpecError, match=r"\$3.20 for that alone"):
            read_caps([offer("0.40")], max_usd=usd, max_hours=hours, keep_minutes=480)
    assert read_caps([offer("0.40")], max_usd="0.04", max_hours=None).keep_s == 900.0  # half of a short life has to do


@pytest.mark.parametrize(
    "wrong", [{"keep_minutes": 9}, {"keep_minutes": float("nan")}, {"idle_minutes": 1}, {"idle_minutes": -60}]
)
def test_times_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    """With the least and the default."""
    with pytest.raises(SpecError, match="minutes to 720 hours") as refused:
        read_caps([offer("1")], max_usd=None, max_hours=None, **wrong)
    assert "is the default" in (refused.value.hint or "")
    assert refused.value.fields == tuple(wrong)


def test_idling_can_be_allowed() -> None:
    """None is no rule, on the machine and at home."""
    assert read_caps([offer("1")], max_usd=None, max_hours=None, idle_minutes=None).idle_s is None


@pytest.mark.parametrize(("idle_s", "line"), [(3600.0, "PS_IDLE_S=3600"), (None, "PS_IDLE_S=0")])
def test_a_machine_is_told_how_long_it_waits_and_may_idle(idle_s: float | None, line: str) -> None:
    """From the order to the script that it boots."""
    wanted = intent(keep_s=28_800.0, idle_s=idle_s, lifetime_s=86_400.0)
    way = Way(door="proxy", self_end=None)
    script = build_rent(wanted, make_credentials(lifetime_s=60, tls=False), way).boot
    assert {"PS_KEEP_S=28800", line} <= set(script.splitlines())
