"""What is to be done next about one rented machine. A pure function of what is on disk, what the provider lists, and the time.

It is the same one for the launch, for the process that watches, and after any crash: it looks at how things stand and never at how
they came to be so. Whoever carries a step out writes ``step.done`` durably first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from peft_studio.core.ports.rental import Instance, InstanceState
from peft_studio.core.services.rent.limits import LIMITS, Limits, end_wait_s
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.notice import Seen, notice, rebase
from peft_studio.core.services.rent.record import Done, EndAsked, Record, Why, rate_of
from peft_studio.core.services.rent.saving import FETCH_S, has_idled_on, prepare

Act = Literal["wait", "create", "end", "close"]
_LOST: dict[InstanceState, Why] = {
    InstanceState.FAILED: "failed", InstanceState.AILING: "failed",
    InstanceState.STOPPED: "preempted", InstanceState.ENDING: "preempted",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """What to do. ``done``: to be on disk before it is done. ``wait_s``: when to look again, where nothing comes before."""

    act: Act
    done: Done
    wait_s: float = 0.0
    instance_id: str = ""


def decide(
    record: Record,
    seen: Seen | None,
    now: Moment,
    *,
    left_usd: Decimal | None = None,
    watching: Moment | None = None,
    limits: Limits = LIMITS,
) -> Step:
    """The next step of one record.

    Args:
        seen: The provider's whole list; None while there is none, and then nothing is proven and nothing is bought.
        left_usd: What may still be spent, by the tighter of the caps; None without a cap.
        watching: Since when somebody has been looking without a gap: what came to pass unseen is no lack of progress.
    """
    if not record.open:  # a worker that was frozen may come with one that another has closed
        return Step("wait", record.done, limits.calm_s)
    record = _with(record, rebase(record.done, now))
    if seen is not None:
        record = _with(record, notice(record, seen, limits))
    mine = seen.find(record) if seen is not None else []
    fresh = (
        seen is not None and now.surely_past(seen.asked_at) <= limits.fresh_s
    )  # a frozen worker comes with an old list
    if record.done.leaving is None and (
        why := why_leave(record, mine if fresh else [], now, left_usd=left_usd, watching=watching, limits=limits)
    ):
        record = replace(record, done=leave(record.done, why, now))
    if record.done.leaving is not None:
        return _leave(record, None if seen is None else mine, now, limits)
    if record.done.asked_at is None:
        return _begin(record, seen, now, limits)
    if seen is None or not record.done.absent:  # one that is not there saves nothing, and its run may go on
        record = replace(record, done=prepare(record, now, left_usd=left_usd, limits=limits))
    return _keep(record, mine, now, limits)


def _with(record: Record, done: Done) -> Record:
    return record if done is record.done else replace(record, done=done)


def why_leave(
    record: Record,
    mine: Sequence[Instance],
    now: Moment,
    *,
    left_usd: Decimal | None,
    watching: Moment | None,
    limits: Limits,
) -> Why | None:
    """Why the machine is to be gone; None while it is wanted."""
    intent, wish, done = record.intent, record.wish, record.done
    if wish.end or not intent.offers:
        return wish.end or "stray"
    if (
        left_usd is not None
        and rate_of(record)
        and rate_of(record) * Decimal(limits.calm_s + limits.spare_s) / 3600 >= left_usd
    ):
        return "budget"
    if done.asked_at is None:
        return "expired" if now.past(intent.at) >= intent.launch_by_s else None
    if record.lives_since is not None and _past(record.lives_since, now, watching) >= intent.lifetime_s:
        return "lifetime"  # though it is not there: it may have lived until then, and a list have left it out before
    if len(done.absent) == 2:
        return _why_absent(record, done.absent[1], limits)
    if has_idled_on(record, now, limits):
        return "idle"
    if lost := _why_lost(record, mine, now, watching=watching, limits=limits):
        return lost
    if done.asking_at is not None and too_dear(record) and _past(done.asking_at, now, watching) >= limits.ask_s:
        return "price"
    if (
        done.made == "made"
        and not wish.ready
        and not record.in_line
        and not done.absent  # one that is not there any more has another reason, which is told once that is proven
        and _stalled_s(record, now, watching) >= intent.patience_s
    ):
        return "unheard" if not mine and _may_have_ended_itself(record, now, limits) else "no-progress"
    return None


def _why_absent(record: Record, gone: Moment, limits: Limits) -> Why:
    """One that no list ever had is judged as the others are: it may have been made, have lived and have cost what no meter knows."""
    if _may_have_ended_itself(record, gone, limits):
        return "unheard"
    return "vanished" if record.done.instance_id else "never-made"


def _why_lost(
    record: Record, mine: Sequence[Instance], now: Moment, *, watching: Moment | None, limits: Limits
) -> Why | None:
    kept = next((one for one in mine if one.id == record.done.instance_id), None)
    if kept is None or kept.state not in _LOST:
        return None
    if kept.state == InstanceState.AILING:
        patience_s = FETCH_S if record.wish.fetching else limits.ailing_s
        if _stalled_s(record, now, watching) < patience_s:
            return None
    outbid = kept.state == InstanceState.STOPPED and record.intent.offers[0].spot  # it never stops itself
    return "unheard" if not outbid and _may_have_ended_itself(record, now, limits) else _LOST[kept.state]


def _may_have_ended_itself(record: Record, gone: Moment, limits: Limits) -> bool:
    """Whether nothing was heard of it for as long as its own brakes wait: whoever comes back to that buys no other one unasked.

    Nor where no clock tells whether its life was over. What costs nothing goes on all the same.
    """
    done = record.done
    if record.lives_since is not None and gone.went_back(record.lives_since):
        return rate_of(record) > 0
    heard = [at for at in (done.asked_at, done.moved_at, record.wish.moved_at) if at is not None]
    return rate_of(record) > 0 and all(gone.went_back(at) or gone.past(at) >= limits.unheard_s for at in heard)


def leave(done: Done, why: Why, now: Moment) -> Done:
    """It is to be gone. What was absent before its end was asked for has to be absent again after."""
    absent = () if done.made == "made" else done.absent
    return replace(done, leaving=why, leaving_at=now, absent=absent, asking_at=None)


def too_dear(record: Record) -> bool:
    """Whether the provider asks more than was agreed to."""
    agreed = [usd for usd in (record.intent.max_usd_per_hour, record.wish.price_ok) if usd is not None]
    price = record.done.usd_per_hour
    return bool(agreed) and price is not None and price > max(agreed)


def _stalled_s(record: Record, now: Moment, watching: Moment | None) -> float:
    moments = (record.done.moved_at, record.wish.moved_at, record.done.asked_at, watching)
    return min(_past(at, now, watching) for at in moments if at is not None)


def _past(at: Moment, now: Moment, watching: Moment | None) -> float:
    """Seconds since then: of another boot, whose clock may have been set back, at least as many as somebody has been watching in this one."""
    watched_s = 0.0 if watching is None or at.boot == now.boot else now.surely_past(watching)
    return max(now.past(at), watched_s)


def _begin(record: Record, seen: Seen | None, now: Moment, limits: Limits) -> Step:
    """Nothing was asked for yet: it is, once a whole list has shown that nothing of that name is there."""
    early_s = _left_s(record.intent.not_before, now)
    if early_s > 0:
        return Step("wait", record.done, min(early_s, limits.calm_s))
    if seen is None or now.surely_past(seen.asked_at) > limits.fresh_s:
        return Step("wait", record.done, limits.busy_s)
    return Step("create", replace(record.done, asked_at=now, made="unsure", doubt_at=now, moved_at=now))


def _left_s(then: Moment | None, now: Moment) -> float:
    """Seconds until ``then``; none where the boot is another."""
    return then.steady_s - now.steady_s if then is not None and then.boot == now.boot else 0.0


def _keep(record: Record, mine: Sequence[Instance], now: Moment, limits: Limits) -> Step:
    """It is wanted: one machine stays, a second of the same name goes, and a price that was not agreed to is asked about."""
    for one in mine:
        if one.id != record.done.instance_id and _is_due(record.done, one.id, now, limits):
            return _end(record, one.id, now)
    done = record.done
    if too_dear(record) != (done.asking_at is not None):
        done = replace(done, asking_at=now if done.asking_at is None else None)
    calm = record.wish.ready and len(mine) == 1 and done.asking_at is None and not done.absent
    return Step("wait", done, limits.calm_s if calm else limits.busy_s)


def _leave(record: Record, mine: Sequence[Instance] | None, now: Moment, limits: Limits) -> Step:
    """It is to be gone: every machine of its name is asked to end, again and again, until two lists lack it. ``mine``: None without a list."""
    done = record.done
    if not mine and _is_gone(done):
        return Step("close", replace(done, closed_at=now))
    ids = {one.id: None for one in mine or ()}
    if done.instance_id and (mine is None or done.find_end(done.instance_id) is None):
        ids[done.instance_id] = None  # no list says that it is gone, and asking for the end of what is gone is no error
    if mine is None:
        ids |= {asked.instance_id: None for asked in done.ends}
    for instance_id in ids:
        if _is_due(done, instance_id, now, limits):
            return _end(record, instance_id, now)
    waits = [_due_in_s(done, instance_id, now, limits) for instance_id in ids]
    return Step("wait", done, min([limits.busy_s if not ids else limits.calm_s, *waits]))


def _is_gone(done: Done) -> bool:
    if done.asked_at is None or done.made == "refused":
        return not done.ends or len(done.absent) == 2
    return len(done.absent) == 2


def _is_due(done: Done, instance_id: str, now: Moment, limits: Limits) -> bool:
    return _due_in_s(done, instance_id, now, limits) <= 0


def _due_in_s(done: Done, instance_id: str, now: Moment, limits: Limits) -> float:
    asked = done.find_end(instance_id)
    return 0.0 if asked is None else end_wait_s(asked.times, limits) - now.surely_past(asked.at)


def _end(record: Record, instance_id: str, now: Moment) -> Step:
    done = record.done
    before = done.find_end(instance_id)
    others = tuple(asked for asked in done.ends if asked.instance_id != instance_id)
    asked = EndAsked(instance_id, 1 if before is None else before.times + 1, now)
    return Step("end", replace(done, ends=(*others, asked)), instance_id=instance_id)
