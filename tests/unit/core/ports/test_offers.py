"""What an offer says of its bill."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from peft_studio.core.ports.offers import Offer


def build_offer(**more: object) -> Offer:
    given = {"id": "1", "provider": "x", "gpu": "L4", "gpu_count": 1, "usd_per_hour": Decimal("1.10"), "seen_at": datetime.now(UTC), **more}  # fmt: skip
    return Offer.model_validate(given)


def test_a_disk_in_the_price_is_not_counted_twice() -> None:
    """The rules bill machine and disk apart, and together they are the price that is shown."""
    rules = build_offer(storage_usd_per_gb_month=Decimal("7.30"), holds_disk_gb=10).rules
    assert rules.usd_per_hour == Decimal("1.00")
    assert rules.compute_usd(3600) + rules.storage_usd(10e9, 3600) == Decimal("1.10")


def test_a_disk_on_top_of_the_price_is_added() -> None:
    """Where nothing is held, nothing is taken out; and a disk dearer than its machine makes no credit."""
    assert build_offer(storage_usd_per_gb_month=Decimal("7.30")).rules.usd_per_hour == Decimal("1.10")
    assert build_offer(storage_usd_per_gb_month=Decimal(730), holds_disk_gb=10).rules.usd_per_hour == 0
