"""Records, machines and moments for tests of single rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from peft_studio.core.ports.offers import Offer
from peft_studio.core.ports.rental import Instance
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.notice import Seen
from peft_studio.core.services.rent.record import Done, Intent, Record, Wish

HOME, RUN = "aaaaaa", "r-20261126-120000-abcdef"
LABEL = f"ps-{HOME}-{RUN}-1-7fffffff"


def at(seconds: float, *, boot: str = "b", wall: float | None = None) -> Moment:
    """A moment so many seconds after the begin."""
    return Moment(1.79e9 + seconds if wall is None else wall, seconds, boot)


def offer(provider: str = "alpha", price: str = "2", **fields: Any) -> Offer:
    """A machine on sale."""
    known = {"id": f"o-{provider}", "gpu": "RTX 4090", "gpu_count": 1, "seen_at": datetime(2026, 11, 26, tzinfo=UTC)}
    return Offer(**{**known, **fields}, provider=provider, usd_per_hour=Decimal(price))


def intent(**fields: Any) -> Intent:
    """An attempt with two offers, written at second 0."""
    known: dict[str, Any] = {
        "label": LABEL, "run_id": RUN, "attempt": 1, "provider": "alpha", "at": at(0),
        "offers": (offer(), offer("beta", "3")), "max_usd_per_hour": Decimal(3),
    }  # fmt: skip
    return Intent(**{**known, **fields})


def made(**fields: Any) -> Done:
    """Its machine was made at second 1."""
    known: dict[str, Any] = {
        "asked_at": at(1), "made": "made", "doubt_at": at(2), "instance_id": "i1", "rank": 1, "moved_at": at(2),
    }  # fmt: skip
    return replace(Done(**known), **fields)


def record(done: Done | None = None, wish: Wish | None = None, **fields: Any) -> Record:
    """A row."""
    return Record(intent(**fields), wish or Wish(), done or Done())


def machine(id: str = "i1", label: str = LABEL, state: str = "running", price: str = "2", **fields: Any) -> Instance:
    """One that a provider lists."""
    return Instance(id=id, label=label, state=state, usd_per_hour=Decimal(price), **fields)


def seen(asked_s: float, *machines: Instance) -> Seen:
    """A whole list."""
    return Seen(machines, at(asked_s), at(asked_s))
