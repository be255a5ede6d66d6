"""Use becomes dollars as providers bill it, to the last decimal."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peft_studio.core.compute import LOCAL, BillingRules, Electricity


@pytest.mark.parametrize(
    ("granularity_s", "seconds", "billed_s"),
    [(1, 100.2, 101), (1, 100.0, 100), (60, 61, 120), (60, 60, 60), (60, 0.5, 60), (3600, 3601, 7200), (60, 0, 0)],
)
def test_started_units_are_billed_whole(granularity_s: int, seconds: float, billed_s: int) -> None:
    """A second into the next minute costs that minute, where minutes are billed."""
    rules = BillingRules(Decimal("3.60"), granularity_s)

    assert rules.compute_usd(seconds) == Decimal("0.001") * billed_s


def test_a_minimum_holds_however_soon_it_ends() -> None:
    """A pod that dies after ten seconds is billed its minimum."""
    rules = BillingRules(Decimal(36), minimum_s=600)

    assert rules.compute_usd(10) == rules.compute_usd(0) == Decimal(6)


def test_storage_is_billed_by_gigabyte_and_month() -> None:
    """A hundred gigabytes for a month at 10 cents each are ten dollars."""
    rules = BillingRules(storage_usd_per_gb_month=Decimal("0.10"))

    assert rules.storage_usd(100e9, 730 * 3600) == Decimal("10.0")


def test_traffic_is_billed_each_way() -> None:
    """The model in, the adapter out, at their own prices."""
    rules = BillingRules(download_usd_per_gb=Decimal("0.01"), upload_usd_per_gb=Decimal("0.05"))

    assert rules.traffic_usd(download_bytes=15e9, upload_bytes=0.2e9) == Decimal("0.16")


def test_a_machine_of_ones_own_costs_nothing_but_power() -> None:
    """300 W for ten hours at 40 cents a kilowatt-hour."""
    assert LOCAL.compute_usd(1e6) == 0
    assert Electricity(300, Decimal("0.40")).usd(36_000) == Decimal("1.2")


def test_rules_without_sense_are_refused() -> None:
    """A granularity of nothing would divide by nothing."""
    with pytest.raises(ValueError, match="granularity"):
        BillingRules(granularity_s=0)
