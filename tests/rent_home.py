"""A home with rented machines, made by hand: records and readings as a watcher would have written them. Nothing is at any provider."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.rent.label import build_label
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Done, Intent, Record
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.store import Reading, Stray
from peft_studio.core.system import try_lock

HOUR_S = 3600.0
RUN = "r-20261126-101112-00000a"


def build_offer(provider: str = "runpod", *, gpu: str = "NVIDIA L4", usd_per_hour: str = "0.40") -> Offer:
    """A machine that was on sale."""
    return Offer(
        id="offer", provider=provider, gpu=gpu, gpu_count=1, usd_per_hour=Decimal(usd_per_hour), seen_at=datetime.now(UTC)
    )  # fmt: skip


class RentHome:
    """The rented machines of a home."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "rent"
        self.store = SqliteStore(self.folder)

    def rent(
        self, run_id: str = RUN, *, provider: str = "runpod", hours_ago: float = 1.0, lasted_h: float | None = None,
        usd_per_hour: str = "0.40", budget_usd: str | None = None, gpu: str = "NVIDIA L4", ready: bool = True, done: Done | None = None,
        instance_id: str = "",
    ) -> Record:  # fmt: skip
        """One machine that was bought so long ago, and is gone again where ``lasted_h`` says so."""
        began = read_now().later(-hours_ago * HOUR_S)
        attempt = len(self.store.list_run(run_id)) + 1
        label = build_label(self.store.home_tag(), run_id, attempt, ends_at_s=began.wall_s + 86_400)
        offer = build_offer(provider, gpu=gpu, usd_per_hour=usd_per_hour)
        budget = None if budget_usd is None else Decimal(budget_usd)
        record = self.store.put(
            Intent(
                label,
                run_id,
                attempt,
                provider,
                began,
                (offer,),
                max_usd_per_hour=offer.usd_per_hour,
                budget_usd=budget,
            )
        )
        if ready:
            self.store.wish_moved(label, began if lasted_h is not None else read_now(), ready=True)
        instance = instance_id or f"pod-{label[-10:]}"
        price = offer.usd_per_hour
        self.store.add_readings([Reading(label, instance, began.wall_s, "all", price)])
        made = Done(
            asked_at=began,
            made="made",
            doubt_at=began,
            instance_id=instance,
            rank=3,
            moved_at=began,
            usd_per_hour=price,
        )
        made = (
            replace(made, **{name: value for name, value in _said(done) if value != getattr(Done(), name)})
            if done
            else made
        )
        if lasted_h is not None:
            end = began.later(lasted_h * HOUR_S)
            self.store.add_readings([Reading(label, instance, end.wall_s, "nothing", Decimal(0))])
            made = replace(made, leaving="completed", leaving_at=end, closed_at=end)
        claimed = self.store.claim(label, "test", read_now(), hold_s=1)
        assert claimed is not None
        self.store.write(claimed, "test", made)
        self.store.release(label, "test")
        return record

    def stray(self, *, provider: str = "runpod", usd_per_hour: str | None = "2.00", ours: bool = True) -> Stray:
        """A machine with our label that no record stands for."""
        home = self.store.home_tag() if ours else "abcdef"
        price = None if usd_per_hour is None else Decimal(usd_per_hour)
        label = build_label(home, "r-20261101-000000-00000f", 1, ends_at_s=time.time() + HOUR_S)
        found = Stray(
            provider,
            f"pod-stray-{'ours' if ours else 'theirs'}",
            label,
            price,
            ours=ours,
            ends_at_s=time.time() + HOUR_S,
        )
        self.store.set_strays(provider, [*self.store.list_strays(), found])
        return found

    @contextmanager
    def watched(self) -> Iterator[None]:
        """As if a process watched: none is started then."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "watch.lock").open("a+b") as lock:
            assert try_lock(lock)
            yield


def _said(done: Done) -> Sequence[tuple[str, object]]:
    return [(name, getattr(done, name)) for name in Done.__slots__]
