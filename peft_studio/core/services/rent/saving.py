"""When a machine that trains is to be warned of, and when it is to stop and save, before it has to go. Pure; ``decide`` carries it on.

The hard ends stay what they are: whatever becomes of the saving, a cap ends its machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from peft_studio.core.services.rent.idle import IDLE, IDLE_STOP, build_policy, say_idle
from peft_studio.core.services.rent.limits import Limits
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Done, Record, Why, rate_of

WHICH: dict[Why, str] = {"budget": "what it may cost", "lifetime": "how long its machine may live"}
FETCH_S = 1800.0  # for an adapter of two gigabytes at 9 Mbit/s; the caps stand all the while
NEAR, REACHED = "cap_near", "cap_reached"
RESUME: dict[Why, str] = {
    "budget": "run.resume(max_usd=…) goes on from its last checkpoint with a higher cap, which counts all that the run has cost so far."
    " One that the month's cap stopped needs that raised: studio.spend_cap.",
    "lifetime": "run.resume() goes on from its last checkpoint, on another machine.",
}


def lead_s(record: Record, limits: Limits) -> float:
    """How long before its end a machine begins to save: twice what saving and fetching last took, never less than ``save_s``.

    A short life gives a quarter of itself, and half where it is known that so much is needed: who pays for six minutes wants to train in them.
    """
    life_s, took_s = record.intent.lifetime_s, record.wish.took_s
    if took_s is None or 2 * took_s <= limits.save_s:
        return min(limits.save_s, life_s / 4)
    return max(min(limits.save_s, life_s / 4), min(2 * took_s, life_s / 2))


def find_ends(record: Record, now: Moment, left_usd: Decimal | None, limits: Limits) -> dict[Why, float]:
    """Seconds until each cap ends the machine by force; what is over is less than none."""
    ends: dict[Why, float] = {}
    rate = rate_of(record)
    if left_usd is not None and rate > 0:
        ends["budget"] = float(left_usd / rate * 3600) - limits.calm_s - limits.spare_s
    if record.lives_since is not None:
        ends["lifetime"] = record.intent.lifetime_s - now.past(record.lives_since)
    return ends


def prepare(record: Record, now: Moment, *, left_usd: Decimal | None, limits: Limits) -> Done:
    """``record.done`` with what is due before its end: a warning, then to stop and save. Neither is taken back."""
    done, ends = record.done, find_ends(record, now, left_usd, limits)
    if done.saving is not None or done.asked_at is None:
        return done
    if record.wish.idle == "stop":
        return replace(done, saving="idle", saving_at=now)
    if not record.wish.ready or not ends:
        return done  # nothing was learned yet
    why, left_s = min(ends.items(), key=lambda end: end[1])
    if done.warned is None and left_s <= max(
        record.intent.lifetime_s * (1 - limits.warn_share), 2 * lead_s(record, limits)
    ):
        done = replace(done, warned=why)
    return replace(done, saving=why, saving_at=now) if left_s <= lead_s(record, limits) else done


def has_idled_on(record: Record, now: Moment, limits: Limits) -> bool:
    """Whether it was to stop for idling and had its time to save, and to have fetched what it saved: it goes now in any case."""
    done = record.done
    due_s = max(lead_s(record, limits), FETCH_S) if record.wish.fetching else lead_s(record, limits)
    late = done.saving_at is not None and now.past(done.saving_at) >= due_s
    return done.saving == "idle" and late


def say_due(record: Record) -> Iterator[tuple[str, str, str]]:
    """Code, message and hint of all that is to be in the run's log by now."""
    warned, saving, idle_s = record.done.warned, record.done.saving, record.intent.idle_s
    if warned in WHICH:
        yield (
            NEAR,
            f"Four fifths of {WHICH[warned]} are over. It is stopped in time before the rest is, and what it has learned is saved and fetched.",
            "A cap of the month can be raised now: studio.spend_cap; that of a run once it has stopped: run.resume(max_usd=…).",
        )
    if saving in WHICH:
        yield (
            REACHED,
            f"{WHICH[saving].capitalize()} is nearly over: it is stopped now, and what it has learned is saved and fetched.",
            RESUME[saving],
        )
    if idle_s is not None and record.wish.idle != "busy":
        yield (IDLE, *say_idle(build_policy(idle_s), "warn"))
    if idle_s is not None and saving == "idle":
        yield (IDLE_STOP, *say_idle(build_policy(idle_s), "stop"))
