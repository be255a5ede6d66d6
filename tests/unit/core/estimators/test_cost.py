"""Dollars follow the duration and the rules."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType

from peft_studio.core.compute import LOCAL, BillingRules, Electricity
from peft_studio.core.estimators import Estimate, estimate_cost

HOUR = Estimate(3600.0, 3000.0, 5400.0, "s", "a test", MappingProxyType({"set-up": 600.0, "training": 3000.0}))


def test_a_rented_hour() -> None:
    """The value, and both ends of the range, are billed by the rules; parts add up."""
    rules = BillingRules(
        Decimal("2.40"), 60, storage_usd_per_gb_month=Decimal("0.73"), download_usd_per_gb=Decimal("0.01")
    )

    cost = estimate_cost(HOUR, rules, disk_bytes=100e9, download_bytes=10e9)

    assert cost.unit == "usd"
    assert cost.parts == {"compute": Decimal("2.40"), "storage": Decimal("0.1"), "traffic": Decimal("0.10")}
    assert cost.value == sum(cost.parts.values()) == Decimal("2.60")
    assert cost.low < cost.value < cost.high
    assert all(isinstance(one, Decimal) for one in (cost.value, cost.low, cost.high))
    assert "$2.40/h" in cost.basis


def test_starting_is_free_where_the_provider_says_so() -> None:
    """Minutes before a machine is usable are billed by some, not by others."""
    rules = BillingRules(Decimal(6), bills_start=False)

    assert estimate_cost(HOUR, rules).value == Decimal(5)


def test_storage_goes_on_while_stopped() -> None:
    """A day more on disk costs a day's storage and no compute."""
    rules = BillingRules(Decimal(1), storage_usd_per_gb_month=Decimal("0.73"))

    kept = estimate_cost(HOUR, rules, disk_bytes=1e9, stored_s=86_400)

    assert kept.parts["compute"] == 1
    assert kept.parts["storage"] == Decimal("0.025")


def test_ones_own_machine() -> None:
    """Nothing, and it says that power is not counted; with watts and a price, that."""
    assert estimate_cost(HOUR, LOCAL).value == 0
    assert "electricity is not counted" in estimate_cost(HOUR, LOCAL).basis
    assert estimate_cost(HOUR, LOCAL, electricity=Electricity(500, Decimal("0.30"))).value == Decimal("0.15")
