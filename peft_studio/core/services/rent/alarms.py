"""What a person has to know about rented machines now, loudest first. Pure: from records and strays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from peft_studio.core.services.rent.decide import too_dear
from peft_studio.core.services.rent.idle import IDLE, IDLE_STOP
from peft_studio.core.services.rent.limits import LIMITS, Limits
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Record, rate_of
from peft_studio.core.services.rent.saving import say_due
from peft_studio.core.services.rent.store import Stray
from peft_studio.core.words import age, duration

Kind = Literal["not-gone", "price", "idle", "cap", "trouble", "silent", "stray"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A sentence for a person.

    ``usd_per_day``: what it costs to do nothing; None where the price is not known. ``loud``: to be said also to whoever did not ask.
    """

    kind: Kind
    provider: str
    label: str
    instance_id: str
    text: str
    usd_per_day: Decimal | None
    loud: bool = False


def build_alarms(
    records: Iterable[Record], strays: Iterable[Stray], now: Moment, *, limits: Limits = LIMITS
) -> list[Alarm]:
    """All that is wrong now. ``records``: the open ones."""
    alarms = [alarm for record in records if (alarm := _alarm_of(record, now, limits))]
    for stray in strays:
        whose = "of this home, which has no record of it" if stray.ours else "of another home of this account"
        day = None if stray.usd_per_hour is None else stray.usd_per_hour * 24
        alarms.append(
            Alarm("stray", stray.provider, stray.label, stray.instance_id, f"{stray.instance_id} at {stray.provider} is {whose}.", day, loud=stray.ours)
        )  # fmt: skip
    order: tuple[Kind, ...] = ("not-gone", "price", "idle", "cap", "trouble", "silent", "stray")
    return sorted(alarms, key=lambda alarm: (order.index(alarm.kind), -(alarm.usd_per_day or 0)))


def _alarm_of(record: Record, now: Moment, limits: Limits) -> Alarm | None:
    done, provider = record.done, record.intent.provider
    day = rate_of(record) * 24

    def alarm(kind: Kind, text: str) -> Alarm:
        return Alarm(kind, provider, record.label, done.instance_id, text, day, loud=kind in ("not-gone", "idle"))

    if done.leaving_at is not None and done.asked_at is not None and now.past(done.leaving_at) >= limits.loud_s:
        times = max((asked.times for asked in done.ends), default=0)
        why = f" {done.trouble}" if done.trouble else ""
        return alarm(
            "not-gone",
            f"{done.instance_id or record.label} at {provider} was to be gone {age(now.past(done.leaving_at))}, was asked to end"
            f" {times} times, and {provider} has not yet shown that it is.{why}",
        )
    if done.asking_at is not None and too_dear(record):
        left_s = max(0.0, limits.ask_s - now.past(done.asking_at))
        return alarm(
            "price",
            f"{provider} asks ${done.usd_per_hour}/h and ${record.intent.max_usd_per_hour}/h was agreed."
            f" Without an answer it is ended in {duration(left_s)}.",
        )
    for code, message, hint in () if done.leaving else reversed([*say_due(record)]):
        kind: Kind = "idle" if code in (IDLE, IDLE_STOP) else "cap"
        return alarm(kind, f"{record.label}: {message} {hint}")
    if done.trouble and done.trouble_at is not None and now.past(done.trouble_at) >= limits.loud_s / 2:
        return alarm("trouble", f"{record.label}: {done.trouble}")
    heard = record.wish.moved_at
    if (
        record.wish.ready
        and not (done.leaving or done.absent)
        and heard is not None
        and now.past(heard) >= limits.unheard_s
    ):
        return alarm(
            "silent",
            f"{record.label}: last heard {age(now.past(heard))}, and {provider} still lists it."
            " Its run may go on there; what is never heard again is paid for until its longest life or its cap is over.",
        )
    return None
