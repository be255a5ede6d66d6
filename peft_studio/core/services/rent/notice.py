"""What a whole list of a provider's says of one record: which machine is its own, how far that is, and whether its absence counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from peft_studio.core.ports.rental import Instance, InstanceState
from peft_studio.core.services.rent.limits import Limits
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Done, Record

RANKS = MappingProxyType({InstanceState.PROVISIONING: 1, InstanceState.BOOTING: 2, InstanceState.RUNNING: 3})


@dataclass(frozen=True, slots=True)
class Seen:
    """A whole list of one provider's machines.

    Attributes:
        asked_at: What happened after that may not be in it: whatever is to be proven by it counts from here.
        answered_at: What it lacks was gone by then, and may have been there until then: what is owed counts to here. Whoever was frozen in
            between has asked long ago.
    """

    instances: Sequence[Instance]
    asked_at: Moment
    answered_at: Moment

    def find(self, record: Record) -> list[Instance]:
        """The machines of one record, by its label or by the id that the provider gave."""
        label, known = record.intent.label, record.done.instance_id
        return [one for one in self.instances if one.label == label or (known and one.id == known)]


def notice(record: Record, seen: Seen, limits: Limits) -> Done:
    """``record.done`` with what the list adds to it."""
    done, mine = record.done, seen.find(record)
    if not mine:
        return _note_absence(record, seen, limits) if done.asked_at is not None else done
    if done.absent:
        done = replace(done, absent=())
    kept = next((one for one in mine if one.id == done.instance_id), None)
    if kept is None and done.made != "made":
        kept = min(mine, key=lambda one: one.id)  # any of them, and the same one whoever looks
        done = replace(
            done, made="made", instance_id=kept.id, moved_at=seen.asked_at,
            asked_at=done.asked_at or seen.asked_at, doubt_at=done.doubt_at or seen.asked_at,
        )  # fmt: skip
    if kept is None:
        return done
    rank = RANKS.get(kept.state, 0)
    if rank > done.rank:  # a state that goes to and fro is no progress
        if record.intent.offer is not None and record.intent.offer.queues and rank > 1 >= done.rank:
            done = replace(done, turn_at=seen.asked_at)
        done = replace(done, rank=rank, moved_at=seen.asked_at)
    if kept.usd_per_hour is not None and kept.usd_per_hour != done.usd_per_hour:
        done = replace(done, usd_per_hour=kept.usd_per_hour)
    return done


def _note_absence(record: Record, seen: Seen, limits: Limits) -> Done:
    """Absence counts when the list was asked for after all that could still hide the machine, and after its end was asked for."""
    done = record.done
    doubt_at = done.doubt_at or record.intent.at
    if len(done.absent) == 2 or seen.asked_at.surely_past(doubt_at) < limits.settle_s:
        return done
    if done.leaving and any(not _after(seen.asked_at, asked.at) for asked in done.ends):
        return done
    if done.absent and seen.asked_at.surely_past(done.absent[0]) < limits.lag_s:
        return done
    gone_at = done.gone_at if done.absent else seen.answered_at
    return replace(done, absent=(*done.absent, seen.asked_at), gone_at=gone_at)


def _after(asked_at: Moment, then: Moment) -> bool:
    return asked_at.boot == then.boot and asked_at.steady_s > then.steady_s


def rebase(done: Done, now: Moment) -> Done:
    """``done`` on this boot's clock: across a reboot no wait can be vouched for, so those that prove something begin anew."""
    stale = [asked for asked in done.ends if asked.at.boot != now.boot]
    if done.doubt_at is None or (done.doubt_at.boot == now.boot and not stale):
        return done
    ends = tuple(replace(asked, at=now) if asked in stale else asked for asked in done.ends)
    return replace(done, doubt_at=now, absent=(), ends=ends)
