"""Planted bugs: one line each that somebody could write. The simulator proves something only as long as it finds every one of them.

``python -m tests.simulator.mutants`` prints which promise gave each away, and after how many launches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from peft_studio.core.errors import RateLimited, StudioError
from peft_studio.core.ports.rental import Instance, Instances
from peft_studio.core.services.rent import decide as deciding
from peft_studio.core.services.rent import goodbye as parting
from peft_studio.core.services.rent import keeper as keeping
from peft_studio.core.services.rent import notice as noticing
from peft_studio.core.services.rent import replies as replying
from peft_studio.core.services.rent import saving
from peft_studio.core.services.rent.decide import Step
from peft_studio.core.services.rent.limits import LIMITS
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.sweep import Stray
from tests.simulator.memory_store import MemoryStore
from tests.simulator.play import play_seeds

Plant = Callable[[], Any]
MOST = 3000
PART = 5


def _in(module: Any, **changed: Any) -> Any:
    return patch.multiple(module, **changed)


def _limits(**changed: float) -> Any:
    real = keeping.decide
    limits = replace(LIMITS, **changed)

    def decide(*args: Any, **known: Any) -> Step:
        return real(*args, **{**known, "limits": limits})

    return _in(keeping, decide=decide)


def _step(change: Callable[[Any, Any, Step], Step]) -> Any:
    """``decide`` with its answer changed: given the record, now, and the step."""
    real = keeping.decide

    def decide(record: Any, seen: Any, now: Moment, **known: Any) -> Step:
        return change(record, now, real(record, seen, now, **known))

    return _in(keeping, decide=decide)


def _why(change: Callable[[Any, Any, Any], Any]) -> Any:
    """``why_leave`` with its answer changed: given the record, now, and the reason."""
    real = deciding.why_leave

    def why_leave(record: Any, mine: Any, now: Moment, **known: Any) -> Any:
        return change(record, now, real(record, mine, now, **known))

    return _in(deciding, why_leave=why_leave)


def _after_create(change: Callable[[Any, Any, Any, Any], Any]) -> Any:
    real = keeping.after_create
    return _in(keeping, after_create=lambda done, reply, now: change(done, reply, now, real))


# --- create


def lost_reply_means_not_made() -> Any:
    def change(done: Any, reply: Any, now: Moment, real: Any) -> Any:
        if isinstance(reply, Instance):
            return real(done, reply, now)
        return deciding.leave(replace(done, made="refused"), "refused", now)

    return _after_create(change)


def create_again_without_a_list() -> Any:
    def change(done: Any, reply: Any, now: Moment, real: Any) -> Any:
        after = real(done, reply, now)
        return replace(after, asked_at=None, made="unasked") if after.made == "unsure" else after

    return _after_create(change)


def id_is_forgotten_before_the_wait() -> Any:
    """The machine is known to the process alone: neither reply nor list is written down."""

    def change(done: Any, reply: Any, now: Moment, real: Any) -> Any:
        after = real(done, reply, now)
        return (
            replace(after, made="refused", leaving="refused", leaving_at=now) if isinstance(reply, Instance) else after
        )

    return _after_create(change)


def created_before_it_is_written_down() -> Any:
    def create(self: Any, record: Any, rental: Any, step: Step) -> Any:
        rent = keeping.attempt(lambda: self._build_rent(record.intent))
        if isinstance(rent, StudioError):
            return record
        reply = keeping.attempt(lambda: rental.submit_job(rent))
        return self.store.write(record, self._token, keeping.after_create(step.done, reply, self._now()))

    return _in(keeping.Keeper, _create=create)


def next_attempt_takes_the_same_label() -> Any:
    return _in(replying, build_label=lambda home, run_id, attempt, **_: f"ps-{home}-{run_id}-1-6fffffff")


def bought_although_stopped() -> Any:
    return _why(lambda record, now, why: None if record.done.asked_at is None else why)


def bought_the_morning_after() -> Any:
    return _why(lambda record, now, why: None if why == "expired" else why)


def bought_because_one_ended_itself() -> Any:
    return _why(lambda record, now, why: "vanished" if why == "unheard" else why)


def what_no_list_had_was_never_made() -> Any:
    return _why(lambda record, now, why: "never-made" if why == "unheard" and not record.done.instance_id else why)


def next_one_before_the_first_is_gone() -> Any:
    def change(record: Any, now: Moment, step: Step) -> Step:
        done = step.done
        if (
            step.act == "end"
            and done.leaving in {"no-progress", "failed", "preempted", "vanished"}
            and len(done.ends) == 1
        ):
            return replace(step, act="close", done=replace(done, closed_at=now))
        return step

    return _step(change)


# --- proof that it is gone


def one_absence_is_enough() -> Any:
    return _in(deciding, _is_gone=lambda done: done.asked_at is None or done.made == "refused" or len(done.absent) >= 1)


def lag_is_ignored() -> Any:
    return _limits(settle_s=0.0, lag_s=0.0)


def an_end_that_was_answered_is_done() -> Any:
    def change(record: Any, now: Moment, step: Step) -> Step:
        asked = record.done.ends and record.done.leaving
        return replace(step, act="close", done=replace(step.done, closed_at=now)) if asked else step

    return _step(change)


def given_up_after_15_minutes() -> Any:
    def change(record: Any, now: Moment, step: Step) -> Step:
        since = step.done.leaving_at
        late = since is not None and now.past(since) > 900 and step.act != "close"
        return replace(step, act="close", done=replace(step.done, closed_at=now)) if late else step

    return _step(change)


def asked_to_end_once() -> Any:
    return _in(deciding, end_wait_s=lambda times, limits: 1e9)


def asked_ever_less() -> Any:
    return _in(deciding, end_wait_s=lambda times, limits: 5.0 * 4.0 ** (times - 1))


def a_list_that_failed_is_empty() -> Any:
    def look(self: Any, rental: Any) -> Any:
        answer = keeping.attempt(rental.list_instances) if rental is not None else None
        return keeping.Seen(answer.instances if isinstance(answer, Instances) else (), self._now(), self._now())

    return _in(keeping.Keeper, _look=look)


def without_keys_it_is_closed() -> Any:
    real = keeping.Keeper._advance

    def advance(self: Any, record: Any, rental: Any, seen: Any) -> float:
        if rental is None and record.done.asked_at is not None:
            self.store.claim(record.label, self._token, self._now(), hold_s=90)
            self.store.write(record, self._token, replace(record.done, closed_at=self._now()))
            return 30.0
        return real(self, record, rental, seen)

    return _in(keeping.Keeper, _advance=advance)


def nothing_begins_anew_after_a_reboot() -> Any:
    return _in(deciding, rebase=lambda done, now: done)


# --- what is wanted


def no_end_to_life() -> Any:
    return _why(lambda record, now, why: None if why == "lifetime" else why)


def life_by_the_wall_clock() -> Any:
    return _in(Moment, past=lambda self, then: max(0.0, self.wall_s - then.wall_s))


def a_clock_that_was_set_back_is_believed() -> Any:
    return _in(deciding, _past=lambda at, now, watching: now.past(at))


def no_progress_is_fine() -> Any:
    return _why(lambda record, now, why: None if why == "no-progress" else why)


def what_was_not_seen_is_no_progress() -> Any:
    return _in(
        deciding, _stalled_s=lambda record, now, watching: now.past(record.done.moved_at or record.done.asked_at)
    )


def budget_is_ignored() -> Any:
    return _in(keeping, left_usd=lambda store, record, now: None)


def machine_outlives_the_budget() -> Any:
    real = replying.build_intent

    def build(draft: Any, *, home: str, left_usd: Any) -> Any:
        return real(draft, home=home, left_usd=None)

    stack = contextlib.ExitStack()
    from tests.simulator import world

    stack.enter_context(_in(replying, build_intent=build))
    stack.enter_context(_in(world, build_intent=build))
    return stack


def a_cap_ends_without_saving() -> Any:
    return _in(deciding, prepare=lambda record, now, **known: record.done)


def saves_in_the_last_seconds() -> Any:
    return _in(saving, lead_s=lambda record, limits: 5.0)


def saves_long_before_the_cap() -> Any:
    return _in(saving, lead_s=lambda record, limits: 1200.0)


def the_cap_waits_for_what_is_saved() -> Any:
    return _why(lambda record, now, why: None if why in {"budget", "lifetime"} and record.done.saving else why)


def goodbye_before_anything_is_home() -> Any:
    return _in(
        parting,
        is_unwanted=lambda record, now: (
            record.open and record.done.instance_id and bool(record.done.saving or record.wish.end or record.wish.ready)
        ),
    )


def an_idle_machine_may_save_for_ever() -> Any:
    return _in(deciding, has_idled_on=lambda record, now, limits: False)


def any_price_is_fine() -> Any:
    return _in(deciding, too_dear=lambda record: False)


def waits_for_an_answer_for_ever() -> Any:
    return _limits(ask_s=1e9)


def the_second_is_kept() -> Any:
    real = deciding._keep
    return _in(deciding, _keep=lambda record, mine, now, limits: real(record, [], now, limits))


def an_unknown_machine_is_not_taken_on() -> Any:
    real = noticing.notice

    def notice(record: Any, seen: Any, limits: Any) -> Any:
        return real(record, seen, limits) if record.done.instance_id else record.done

    return _in(deciding, notice=notice)


def a_stopped_one_is_fine() -> Any:
    return _in(deciding, _LOST={})


# --- going on


def nothing_follows() -> Any:
    return _in(keeping, follow_up=lambda record, now, **known: None)


def the_next_is_written_apart() -> Any:
    real = MemoryStore.write

    def write(self: Any, record: Any, token: str, done: Any, *, following: Any = None) -> Any:
        written = real(self, record, token, done)
        if following is not None:
            self.put(following)
        return written

    return _in(MemoryStore, write=write)


# --- several processes


def a_stale_worker_writes() -> Any:
    def write(self: Any, record: Any, token: str, done: Any, *, following: Any = None) -> Any:
        def change() -> None:
            self.records[record.label] = replace(record, done=done, edition=record.edition + 1)
            if following is not None:
                self.records[following.label] = keeping.Record(following)

        self._write("write", change)
        return replace(record, done=done, edition=record.edition + 1)

    return _in(MemoryStore, write=write)


def a_frozen_worker_still_buys() -> Any:
    real = keeping.Keeper.__init__

    def init(self: Any, *args: Any, **known: Any) -> None:
        real(self, *args, **known)
        self._limits = replace(LIMITS, send_s=1e9)

    return _in(keeping.Keeper, __init__=init)


def closed_records_are_closed_again() -> Any:
    """The first bug that the simulator found."""
    real = keeping.decide

    def decide(record: Any, seen: Any, now: Moment, **known: Any) -> Step:
        return real(replace(record, done=replace(record.done, closed_at=None)), seen, now, **known)

    stack = contextlib.ExitStack()
    stack.enter_context(_in(keeping, decide=decide))
    stack.enter_context(_in(MemoryStore, _check_new=lambda self, intent: None))
    return stack


# --- strangers, and what providers throw


def everything_with_our_prefix_is_ended() -> Any:
    return _in(keeping, is_overdue=lambda stray, now, began: True)


def everything_unknown_is_ended() -> Any:
    def find(provider: str, instances: Any, *, home: str) -> Any:
        return [Stray(provider, one.id, one.label or "ps-none", None, ours=True, ends_at_s=0.0) for one in instances]

    return _in(keeping, find_strays=find)


def strays_are_not_looked_for() -> Any:
    return _in(keeping.Keeper, _sweep=lambda self, seen: None)


def a_connectors_bug_ends_the_process() -> Any:
    def attempt(call: Any) -> Any:
        try:
            return call()
        except StudioError as exc:
            return exc

    return _in(keeping, attempt=attempt)


def a_429_on_create_leaves_it_open() -> Any:
    def change(done: Any, reply: Any, now: Moment, real: Any) -> Any:
        return (
            replace(done, asked_at=None, made="unasked") if isinstance(reply, RateLimited) else real(done, reply, now)
        )

    return _after_create(change)


# --- money


def the_meter_forgets() -> Any:
    real = keeping.build_readings

    def build(record: Any, seen: Any, last: Any) -> Any:
        return [replace(one, usd_per_hour=Decimal(0)) for one in real(record, seen, last)]

    return _in(keeping, build_readings=build)


def the_meter_stops_at_the_first_absence() -> Any:
    def build(record: Any, seen: Any, last: Any) -> Any:
        mine = {one.id for one in seen.find(record)}
        return [
            keeping.end_reading(one, record, seen.asked_at)
            for key, one in last.items()
            if key not in mine and one.billed != "nothing"
        ]

    return _in(keeping, build_readings=build)


def a_frozen_question_ends_the_bill() -> Any:
    real = noticing._note_absence

    def note(record: Any, seen: Any, limits: Any) -> Any:
        return real(record, replace(seen, answered_at=seen.asked_at), limits)

    return _in(noticing, _note_absence=note)


MUTANTS: dict[str, Plant] = {
    name: plant for name, plant in list(globals().items())
    if callable(plant) and not name.startswith("_") and getattr(plant, "__module__", "") == __name__
}  # fmt: skip


# What has to go wrong for a bug to matter; the others come to light in whatever is drawn.
NEEDS: dict[str, tuple[str, ...]] = {
    "bought_the_morning_after": ("vault-locked",), "bought_because_one_ended_itself": ("laptop-off",), "what_no_list_had_was_never_made": ("lost-reply", "laptop-off"),
    "one_absence_is_enough": ("list-omits", "end-ignored-long"), "nothing_begins_anew_after_a_reboot": ("reboot",),
    "no_end_to_life": (), "what_was_not_seen_is_no_progress": ("crash",), "waits_for_an_answer_for_ever": ("dearer",), "any_price_is_fine": ("dearer",),
    "the_second_is_kept": ("twins",), "the_next_is_written_apart": ("phantom", "two-crashes"), "a_stale_worker_writes": ("frozen-worker",),
    "a_frozen_worker_still_buys": ("frozen-worker",), "closed_records_are_closed_again": ("frozen-worker", "preempted"),
    "a_429_on_create_leaves_it_open": ("create-429",), "a_connectors_bug_ends_the_process": ("connector-bug",), "bought_although_stopped": ("sold-out",),
    "life_by_the_wall_clock": ("clock-step",), "given_up_after_15_minutes": ("end-fails",),
    "a_clock_that_was_set_back_is_believed": ("clock-step", "reboot", "never-boots"),
    "a_cap_ends_without_saving": ("long-run",), "saves_in_the_last_seconds": ("long-run",),
    "saves_long_before_the_cap": ("long-run",), "the_cap_waits_for_what_is_saved": ("long-run", "save-hangs"),
    "an_idle_machine_may_save_for_ever": ("frozen-trainer", "brake-1-off"),
    "a_frozen_question_ends_the_bill": ("frozen-worker", "keys-gone"),
}  # fmt: skip


def hunt(name: str, *, most: int = MOST) -> tuple[int, str, str]:
    """Play launches with a planted bug until a promise is broken: after how many, which, and how it is replayed. ("", "") when never."""
    with MUTANTS[name]():
        for begin in range(0, most, PART):
            report = play_seeds(range(begin, begin + PART), faults=NEEDS.get(name))
            if report.broken:
                replay, promise, _ = report.broken[0]
                return int(replay.split()[4]) + 1, promise, replay
    return most, "", ""


def print_table() -> Iterator[str]:
    """A row a bug."""
    for name in MUTANTS:
        launches, promise, _ = hunt(name)
        yield f"| {name.replace('_', ' ')} | {promise or 'NOT FOUND'} | {launches} |"


if __name__ == "__main__":
    print("| planted bug | promise that was broken | launches |\n|---|---|---|")
    for row in print_table():
        print(row, flush=True)
