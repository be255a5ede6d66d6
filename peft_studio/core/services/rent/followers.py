"""Sees to it that every run with a machine is followed, each on a thread of its own, and that a run whose machines are all gone has an end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.offers import Offer
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import HINTS
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import read_last
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.follow import Follower, NoteStart, Reach
from peft_studio.core.services.rent.furnish import TokenOf
from peft_studio.core.services.rent.goodbye import Goodbye
from peft_studio.core.services.rent.idle import IDLE_STOP
from peft_studio.core.services.rent.moment import Now
from peft_studio.core.services.rent.record import AGAIN, Record, Why
from peft_studio.core.services.rent.saving import RESUME
from peft_studio.core.services.rent.store import Store
from peft_studio.core.services.rent.troubles import Troubles
from peft_studio.core.system import try_lock

LOOK_S = 1.0
log = logging.getLogger("peft_studio.rent")

SAID: dict[Why, str] = {
    "stopped": "It was stopped before it had learned anything.",
    "idle": "Its GPU had nothing to do, so its machine was ended.",
    "budget": "Its budget was used up, so its machine was ended.",
    "lifetime": "Its machine had reached the longest life that it was given.",
    "price": "Its machine was dearer than agreed, and nobody said yes to the price.",
    "expired": "No machine was asked for in time.",
    "sold-out": "No machine was to be had.",
    "rate-limited": "Its provider took no more requests.",
    "refused": "Its provider refused the machine.",
    "never-made": "Its machine was never made.",
    "no-progress": "Its machine did not come to train.",
    "failed": "Its machine failed.",
    "preempted": "Its machine was taken away.",
    "vanished": "Its machine vanished.",
    "unheard": "Its machine is gone, and nothing had been heard from it for nine minutes or more. It may have ended itself: because its GPU"
    " idled, its run stood still, or it was over and its files waited in vain. So no other one was bought.",
}
NEVER_SEEN = (
    "No list of its provider's ever had its machine, and nobody looked for nine minutes or more: it was never made, or it ended itself"
    " meanwhile and cost what its provider's bill alone shows. So no other one was bought."
)
NEVER_SEEN_NEXT = "Launch it again, or run.resume() on another machine: what was fetched before is kept."

NEXT: dict[Why, str] = {
    **RESUME,
    "unheard": "run.resume() goes on from the last checkpoint that was fetched, on another machine.",
}  # fmt: skip


def say_next(before: Record, offer: Offer) -> str:
    """Why there is another machine now, for the run's log. A run has its next machine once the one before is proven gone."""
    why = before.done.leaving
    return f"{SAID.get(why, why) if why else ''} It is gone, as its provider's list shows; next is {offer.gpu or 'a CPU'} at {offer.provider}."


ModelOf = Callable[[str], Path | None]
"""The folder of a base model that no hub has; None for one that the machine can fetch itself."""


class Followers:
    """Those of one home, in one process. ``forget``: told of each record whose machine is proven gone."""

    def __init__(
        self, store: Store, runs: RunStore, *, reach: Reach, model_of: ModelOf, now: Now, forget: Callable[[Record], None],
        note_start: NoteStart, token_of: TokenOf = lambda folder: None,
    ) -> None:  # fmt: skip
        self._store, self._runs, self._reach, self._model_of, self._now = store, runs, reach, model_of, now
        self._forget, self._note_start, self._token_of = forget, note_start, token_of
        self._stop = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._rest_until: dict[str, float] = {}
        self._troubles: dict[str, Troubles] = {}

    def turn(self) -> None:
        """Look once which runs are to be followed."""
        for run_id in {record.intent.run_id for record in self._store.list_open() if record.intent.offers}:
            thread = self._threads.get(run_id)
            if (thread is None or not thread.is_alive()) and time.monotonic() >= self._rest_until.get(run_id, 0.0):
                self._threads[run_id] = threading.Thread(
                    target=self._follow, args=(run_id,), name=f"follow-{run_id}", daemon=True
                )
                self._threads[run_id].start()

    def busy(self) -> bool:
        """Whether a run is still followed."""
        return any(thread.is_alive() for thread in self._threads.values())

    def close(self) -> None:
        """Let go of all runs; their machines go on."""
        self._stop.set()
        for thread in self._threads.values():
            thread.join(15)

    def _follow(self, run_id: str) -> None:
        try:
            folder = self._runs.folder(run_id)
        except StudioError:  # deleted: its machines are the keepers' business
            return
        troubles = self._troubles.setdefault(run_id, Troubles(folder, run_id))
        try:
            self._follow_in(folder)
            troubles.over()
        except (StudioError, OSError) as exc:
            self._rest_until[run_id] = time.monotonic() + troubles.note(exc)

    def _follow_in(self, folder: RunFolder) -> None:
        with folder.agent_lock.open("a+b") as lock:
            if not try_lock(lock):
                return
            mirror = Mirror(folder)
            try:
                self._through_all(mirror)
            finally:
                mirror.close()

    def _through_all(self, mirror: Mirror) -> None:
        """One machine after the other, until none follows."""
        done, goodbye = set[str](), Goodbye(self._reach, self._now)
        while not self._stop.is_set():
            records = self._store.list_run(mirror.folder.id)
            for record in records:
                if not record.open and record.label not in done:
                    self._forget(record)
                    done.add(record.label)
            newest = records[-1]
            if not newest.open:
                self._end(mirror, newest)
                return
            if newest.done.leaving is None and newest.wish.end is None:
                self._attend(mirror, newest)
            elif newest.done.leaving == "stopped" and newest.in_line and not mirror.state.is_terminal:
                mirror.say(
                    ev.Finished(state="stopped")
                )  # it never had its turn, and will be ended before it does anything
            goodbye.say(newest)
            mirror.beat()
            self._stop.wait(LOOK_S)

    def _attend(self, mirror: Mirror, record: Record) -> None:
        offer, known, ended = record.intent.offer, mirror.state.machine, mirror.state.state
        assert offer
        if ended == "completed" or (mirror.state.is_terminal and known and known.label == record.label):
            # Whoever wrote that down did not come to say that its machine is to go. One that ended on another machine was resumed.
            self._store.wish_end(record.label, "completed" if ended == "completed" else "stopped")
            return
        if known and known.label != record.label and mirror.state.stop_requested and not mirror.state.is_terminal:
            # It was asked to stop, and its machine was lost before it had: nobody wants another one.
            mirror.say(ev.Finished(state="stopped"))
            self._store.wish_end(record.label, "stopped")
            return
        if known is None or known.label != record.label:
            if known and (before := self._store.find(known.label)) and before.done.leaving in AGAIN:
                mirror.say(ev.Logged(level="warning", text=say_next(before, offer)))
            mirror.say(
                ev.MachineRented(
                    provider=record.intent.provider,
                    label=record.label,
                    gpu=offer.gpu or "",
                    usd_per_hour=str(offer.usd_per_hour),
                )
            )
        model = self._model_of(mirror.folder.load_spec().model) or self._token_of
        Follower(
            record.label,
            mirror,
            store=self._store,
            reach=self._reach,
            now=self._now,
            stop=self._stop,
            model=model,
            note_start=self._note_start,
        ).follow()

    def _end(self, mirror: Mirror, last: Record) -> None:
        """All its machines are proven gone. A run that has no end by then gets one."""
        why = last.done.leaving or "vanished"
        idled = not mirror.state.is_terminal and _has_idled(mirror, last)
        if not mirror.state.is_terminal:
            if idled:
                _say_idled(mirror)
            said, hint = _say_lost(last, why)
            failure = ev.Failure(code="machine_lost", message=said, hint=hint, trace=last.done.trouble)
            stopped = idled or why == "stopped"
            mirror.say(ev.Finished(state="stopped" if stopped else "failed", failure=None if stopped else failure))
        mirror.say(ev.MachineGone(label=last.label, why="idle" if idled and why == "unheard" else why))


def _say_lost(last: Record, why: Why) -> tuple[str, str]:
    """Why its machine is gone, and what helps."""
    if why == "unheard" and not last.done.instance_id:
        return NEVER_SEEN, NEVER_SEEN_NEXT
    return SAID.get(why, why), NEXT.get(why, HINTS["machine_lost"])


def _has_idled(mirror: Mirror, last: Record) -> bool:
    """Whether its GPU had nothing to do, and that is all that is known of its end."""
    told = any((warned.code, warned.job) == (IDLE_STOP, mirror.state.job) for warned in mirror.state.warnings)
    why = last.done.leaving
    return why == "idle" or (why in ("unheard", "vanished") and (told or last.wish.idle != "busy"))


def _say_idled(mirror: Mirror) -> None:
    """Have the log say so, where its agent did not come to it."""
    if not any((warned.code, warned.job) == (IDLE_STOP, mirror.state.job) for warned in mirror.state.warnings):
        rows = read_last(mirror.folder.metrics)
        message = "Its GPU had nothing to do when it was last heard, and its machine is gone: it was stopped for that."
        mirror.say(ev.Warned(code=IDLE_STOP, step=rows[-1].step if rows else 0, message=message, hint=NEXT["unheard"]))
