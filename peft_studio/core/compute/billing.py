"""How a place bills: pure rules over seconds and bytes, in exact decimals. Knows no prices of its own and no provider.

What the providers bill (their documentation, as of 2026-11): RunPod and Vast.ai by the second, Lambda by the minute; Vast.ai storage
from creation on and also while an instance is stopped, and traffic by the gigabyte.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

HOUR_S = 3600
MONTH_HOURS = 730  # a year's hours through twelve, as providers count
GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BillingRules:
    """How use becomes dollars.

    Attributes:
        usd_per_hour: For the whole machine while it runs.
        granularity_s: Started units of this many seconds are billed whole: 1, 60 or 3600.
        minimum_s: Billed at least, however soon it ends.
        storage_usd_per_gb_month: For what is kept on disk, from creation until it is deleted, running or stopped.
        download_usd_per_gb, upload_usd_per_gb: For traffic into and out of the machine.
        bills_start: Whether minutes before the machine is usable are billed too.
    """

    usd_per_hour: Decimal = Decimal(0)
    granularity_s: int = 1
    minimum_s: int = 0
    storage_usd_per_gb_month: Decimal = Decimal(0)
    download_usd_per_gb: Decimal = Decimal(0)
    upload_usd_per_gb: Decimal = Decimal(0)
    bills_start: bool = True

    def __post_init__(self) -> None:
        if self.granularity_s < 1 or self.minimum_s < 0:
            raise ValueError("billing rules need a granularity of at least a second and no negative minimum")

    def compute_usd(self, seconds: float) -> Decimal:
        """What running for so long costs: started units are whole, and the minimum holds."""
        if seconds <= 0 and not self.minimum_s:
            return Decimal(0)
        units = (Decimal(str(max(0.0, seconds))) / self.granularity_s).to_integral_value(rounding=ROUND_CEILING)
        billed_s = max(units * self.granularity_s, Decimal(self.minimum_s))
        return self.usd_per_hour * billed_s / HOUR_S

    def storage_usd(self, size_bytes: float, seconds: float) -> Decimal:
        """What keeping so much for so long costs, the machine running or stopped."""
        hours = Decimal(str(max(0.0, seconds))) / HOUR_S
        return self.storage_usd_per_gb_month * _gb(size_bytes) * hours / MONTH_HOURS

    def traffic_usd(self, *, download_bytes: float, upload_bytes: float) -> Decimal:
        """What bringing the model in and the adapter out costs."""
        return self.download_usd_per_gb * _gb(download_bytes) + self.upload_usd_per_gb * _gb(upload_bytes)


@dataclass(frozen=True, slots=True)
class Electricity:
    """What a machine of one's own draws under load, and the price of it: both from its owner, nothing is assumed."""

    watts: float
    usd_per_kwh: Decimal

    def usd(self, seconds: float) -> Decimal:
        """What so long under load costs."""
        return self.usd_per_kwh * Decimal(str(self.watts)) * Decimal(str(max(0.0, seconds))) / (1000 * HOUR_S)


LOCAL = BillingRules()


def _gb(size_bytes: float) -> Decimal:
    return Decimal(str(max(0.0, size_bytes))) / GB
