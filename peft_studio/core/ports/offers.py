"""What is on sale: machines, as their providers price them. Values only; who may buy is told in :mod:`peft_studio.core.ports.rental`."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from peft_studio.core.compute import MONTH_HOURS, BillingRules
from peft_studio.core.ports.platform import Sentence, Value, Word

Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class Stock(StrEnum):
    """How many there are, as far as the provider says; UNKNOWN where it says nothing."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    UNKNOWN = "unknown"


class Offer(Value):
    """A machine on sale, as its provider priced it at ``seen_at``. Prices are of the whole machine, in dollars.

    Attributes:
        id: What ``submit_job`` needs to buy this one; a provider's own words.
        gpu: As the provider writes it; :func:`peft_studio.core.compute.find_gpu` knows most. None for a machine without one.
        gpu_memory_gib: Of one card.
        usd_per_hour: While it runs, whatever ``includes`` names included.
        includes: What the price covers and what it does not: "20 GB of disk; traffic is billed by the gigabyte".
        holds_disk_gb: ``usd_per_hour`` holds the storage price of so much disk; ``rules`` take it out, so that it is not counted twice.
        granularity_s: Started units of so many seconds are billed whole.
        bills_start: Whether the minutes before it is usable are billed.
        spot: It may be taken away at any moment.
        reliability: Share of time that the host was up, 0 to 1, where a marketplace says so.
        ends_itself: The machine gets a key with which it can end itself and nothing else.
        stops_at: When the host's owner takes it back at the latest.
        machines: So many, each with ``gpu_count`` cards, that train one run together.
        queues: Where none is free it is not refused: it waits in the provider's own line, and nothing is billed meanwhile.
    """

    id: Word
    provider: Word
    gpu: Word | None
    gpu_count: NonNegativeInt
    gpu_memory_gib: NonNegativeFloat | None = None
    cpus: NonNegativeInt | None = None
    memory_gib: NonNegativeFloat | None = None
    disk_gib: NonNegativeFloat | None = None
    region: Word | None = None
    usd_per_hour: Usd
    includes: Sentence = ""
    holds_disk_gb: NonNegativeInt = 0
    granularity_s: PositiveInt = 1
    bills_start: bool = True
    storage_usd_per_gb_month: Usd = Decimal(0)
    download_usd_per_gb: Usd = Decimal(0)
    upload_usd_per_gb: Usd = Decimal(0)
    spot: bool = False
    stock: Stock = Stock.UNKNOWN
    reliability: Annotated[float, Field(ge=0, le=1)] | None = None
    ends_itself: bool = False
    stops_at: AwareDatetime | None = None
    queues: bool = False
    machines: PositiveInt = 1
    seen_at: AwareDatetime

    @property
    def rules(self) -> BillingRules:
        """How it bills, for estimates and for the ledger."""
        held = self.storage_usd_per_gb_month * self.holds_disk_gb / MONTH_HOURS
        return BillingRules(
            usd_per_hour=max(Decimal(0), self.usd_per_hour - held), granularity_s=self.granularity_s, bills_start=self.bills_start,
            storage_usd_per_gb_month=self.storage_usd_per_gb_month, download_usd_per_gb=self.download_usd_per_gb,
            upload_usd_per_gb=self.upload_usd_per_gb,
        )  # fmt: skip


class OfferQuery(Value):
    """Which offers. A connector may answer with more than these: who asks looks again. ``gpu``: part of a card's name.

    ``disk_gib``: what will be asked for, because some prices hold it. ``machines``: that train one run together; only a cluster has several.
    """

    gpu: Word | None = None
    gpu_count: PositiveInt = 1
    min_memory_gib: NonNegativeFloat | None = None
    machines: PositiveInt = 1
    disk_gib: PositiveInt = 40
    spot: bool | None = None
    region: Word | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 200


class Offers(Value):
    """What is on sale now; sold out ones too, with Stock.NONE, where the provider lists them."""

    offers: Annotated[tuple[Offer, ...], Field(max_length=2000)]
