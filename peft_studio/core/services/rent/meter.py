"""From what was read of machines to what they cost: readings to lives, lives to what of a cap is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import cast

from peft_studio.core.compute.billing import GB, BillingRules
from peft_studio.core.compute.ledger import Billed, Life, Paid, Stretch, cost, month_began_s
from peft_studio.core.ports.rental import Instance
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.notice import Seen
from peft_studio.core.services.rent.record import Record, rate_of
from peft_studio.core.services.rent.store import Bill, Reading, Store

EVER_S = float("inf")
UNSEEN_S = 30.0
ORDER = MappingProxyType({"nothing": 0, "storage": 1, "all": 2})


def read_machine(record: Record, instance: Instance, at: Moment | None = None) -> Reading:
    """How a machine is billed from ``at`` on; without it from the moment at which it was asked for."""
    begin = record.done.asked_at or record.intent.at
    price = rate_of(record) if instance.usd_per_hour is None else instance.usd_per_hour
    return Reading(record.label, instance.id, record.billed_at_s(at or begin), instance.billed, price)


def build_readings(record: Record, seen: Seen, last: dict[str, Reading]) -> list[Reading]:
    """What a list says that is new. ``last``: the newest reading of each machine of this record."""
    new = []
    mine = {one.id: one for one in seen.find(record)}
    for one in mine.values():
        before = last.get(one.id)
        if (
            before is None
            and one.billed != "all"
            and seen.asked_at.past(record.done.asked_at or record.intent.at) > UNSEEN_S
        ):
            before = replace(
                read_machine(record, one), billed="all"
            )  # nobody looked meanwhile: it may have run until now
            new.append(before)
        reading = read_machine(record, one) if before is None else _read_after(before, record, one, seen)
        if before is None or (before.billed, before.usd_per_hour) != (reading.billed, reading.usd_per_hour):
            new.append(reading)
    for read in last.values():  # a second of that name, asked to end; what is kept is billed until it is proven gone
        second = read.instance_id != record.done.instance_id and record.done.find_end(read.instance_id) is not None
        if second and read.instance_id not in mine and read.billed != "nothing":
            new.append(end_reading(read, record, seen.answered_at))
    return new


def _read_after(before: Reading, record: Record, instance: Instance, seen: Seen) -> Reading:
    """How it is billed since: less from the answer on that says so, more from its question on, so that no estimate is too low."""
    reading = read_machine(record, instance, seen.asked_at)
    if (ORDER[reading.billed], reading.usd_per_hour) < (ORDER[before.billed], before.usd_per_hour):
        reading = read_machine(record, instance, seen.answered_at)
    return replace(reading, at_s=max(reading.at_s, before.at_s))


def end_reading(last: Reading, record: Record, at: Moment) -> Reading:
    """From then on it costs nothing. Where the clock does not tell how long it lived, that is its whole life: no cap is overdrawn by it."""
    begin = record.done.asked_at or record.intent.at
    at_s = begin.wall_s + record.intent.lifetime_s if at.went_back(begin) else record.billed_at_s(at)
    return Reading(last.label, last.instance_id, max(at_s, last.at_s), "nothing", Decimal(0))


def newest(readings: Iterable[Reading]) -> dict[str, Reading]:
    """The last reading of each machine."""
    return {one.instance_id: one for one in readings}


def build_lives(
    records: Sequence[Record], readings: Iterable[Reading], bills: Iterable[Bill] = (), *, now: Moment | None = None
) -> list[Life]:
    """The machines of these records, each with what was read of it and what was charged for it.

    ``now``: what is still billed goes on until then in true seconds, wherever the clock has been set to since.
    """
    by_label = {record.label: record for record in records}
    stretches: dict[tuple[str, str], list[Stretch]] = {}
    for one in readings:
        if one.label in by_label:
            stretches.setdefault((one.label, one.instance_id), []).append(
                Stretch(one.at_s, cast("Billed", one.billed), one.usd_per_hour)
            )
    paid: dict[str, list[Paid]] = {}
    for bill in bills:
        paid.setdefault(bill.instance_id, []).append(Paid(bill.begin_s, bill.end_s, bill.usd))
    return [
        _build_life(by_label[label], instance_id, tuple(ordered), tuple(paid.get(instance_id, ())), now)
        for (label, instance_id), ordered in stretches.items()
    ]


def _build_life(
    record: Record, instance_id: str, stretches: tuple[Stretch, ...], paid: tuple[Paid, ...], now: Moment | None
) -> Life:  # fmt: skip
    intent = record.intent
    return Life(
        instance_id, intent.run_id, intent.provider, intent.offer.rules if intent.offer else BillingRules(), stretches,
        disk_bytes=intent.disk_gib * GB, paid=paid, ahead_s=now.wall_s - record.billed_at_s(now) if now else 0.0,
    )  # fmt: skip


def left_usd(store: Store, record: Record, now: Moment) -> Decimal | None:
    """What may still be spent on a run: by its own cap or by the month's, whichever leaves less. None without either."""
    left = []
    if record.intent.budget_usd is not None:
        lives = build_lives(
            store.list_run(record.intent.run_id), store.read_meter(record.intent.run_id), store.read_bills(), now=now
        )
        left.append(record.intent.budget_usd - sum_usd(lives, now))
    cap = store.month_cap()
    if cap is not None:
        lives = build_lives(store.list_run(), store.read_meter(), store.read_bills(), now=now)
        left.append(cap - sum_usd(lives, now, since_s=month_began_s(now.wall_s)))
    return min(left) if left else None


def sum_usd(lives: Iterable[Life], now: Moment, *, since_s: float = -EVER_S) -> Decimal:
    """What machines cost until now, charged or estimated."""
    return sum((cost(life, since_s, EVER_S, now_s=now.wall_s).usd for life in lives), Decimal(0))
