"""What a store of records must do. One is on disk, in a home; tests have one in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.idle import Verdict
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Done, Intent, Record, Why


class StaleWorker(RentError):
    """Another process has taken the record over; what this one had in mind is void."""


@dataclass(frozen=True, slots=True)
class Reading:
    """From ``at_s`` on a machine was billed so. ``at_s`` is on the axis of its record's bill, see :meth:`Record.billed_at_s`."""

    label: str
    instance_id: str
    at_s: float
    billed: str
    usd_per_hour: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """What a provider charged for one machine over a time, in seconds since 1970."""

    instance_id: str
    begin_s: float
    end_s: float
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Stray:
    """A machine with our prefix for which this home has no record. ``ours``: it carries this home's tag, so its record was lost."""

    provider: str
    instance_id: str
    label: str
    usd_per_hour: Decimal | None
    ours: bool
    ends_at_s: float | None = None


class Store(Protocol):
    """Every method that writes is durable when it returns, all of it or nothing. Any number of processes may share one.

    All raise RentError where the disk does not do it.
    """

    def home_tag(self) -> str:
        """What tells this home apart in labels."""
        ...

    def put(self, intent: Intent) -> Record:
        """A new record. ValueError where its label is taken: no label is ever used twice."""
        ...

    def find(self, label: str) -> Record | None:
        """A record by its label, open or closed."""
        ...

    def list_open(self) -> list[Record]:
        """Records of which something may still be there."""
        ...

    def list_run(self, run_id: str | None = None) -> list[Record]:
        """All attempts of a run, or of all runs, open and closed, oldest first."""
        ...

    def claim(self, label: str, token: str, now: Moment, *, hold_s: float) -> Record | None:
        """Take a record for this worker for so long; None while another has it. Again by the same one: longer, as does every write."""
        ...

    def write(self, record: Record, token: str, done: Done, *, following: Intent | None = None) -> Record:
        """Replace what was done, and in the same transaction put the attempt that follows, unless the run was said to end meanwhile.

        Raises:
            StaleWorker: The record was taken over, or is not as this worker read it.
        """
        ...

    def release(self, label: str, token: str) -> None:
        """Let others have the record."""
        ...

    def wish_end(self, label: str, why: Why) -> None:
        """Have it end. The first reason stays."""
        ...

    def wish_price(self, label: str, usd_per_hour: Decimal) -> None:
        """Agree to a price."""
        ...

    def wish_moved(self, label: str, at: Moment, *, ready: bool = False) -> None:
        """It was heard to get on with it; ``ready``: it trains, and stays so."""
        ...

    def wish_idle(self, label: str, verdict: Verdict) -> None:
        """What its GPU's load makes of it. Once it is to stop that stays."""
        ...

    def wish_took(self, label: str, seconds: float) -> None:
        """So long took saving a checkpoint there and fetching it."""
        ...

    def wish_fetching(self, label: str) -> None:
        """The run has ended there, and what it left is on its way home."""
        ...

    def reopen(self, label: str, why: Why, at: Moment) -> None:
        """A record that was closed has something left after all: it is open again, and to be gone."""
        ...

    def read_meter(self, run_id: str | None = None) -> list[Reading]:
        """What was read of one run's machines, or of all, oldest first."""
        ...

    def add_readings(self, readings: Sequence[Reading]) -> None:
        """Keep how machines were billed from a time on."""
        ...

    def read_bills(self) -> list[Bill]:
        """What the providers said that they charged."""
        ...

    def add_bills(self, bills: Sequence[Bill]) -> None:
        """Keep what a provider charged; a bill of the same machine and beginning replaces the one before."""
        ...

    def month_cap(self) -> Decimal | None:
        """What all runs of a calendar month may cost; None without a cap."""
        ...

    def set_month_cap(self, usd: Decimal | None) -> None:
        """Set it."""
        ...

    def set_strays(self, provider: str, strays: Sequence[Stray]) -> None:
        """What the newest whole list of a provider has of our prefix and not of our records."""
        ...

    def list_strays(self) -> list[Stray]:
        """As last seen."""
        ...
