"""Looks after the machines of one provider: one list, then the next step of each record. Carries out what ``decide`` says, and nothing else.

A crash between any two lines is made good by whoever comes next: what is about to be done is on disk before it is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from peft_studio.core.errors import RateLimited, RentError, StudioError
from peft_studio.core.ports.rental import Instance, Instances, Rent, Rental
from peft_studio.core.services.rent.calls import Rentals, attempt
from peft_studio.core.services.rent.decide import Step, decide, leave
from peft_studio.core.services.rent.limits import LIMITS, Limits, look_wait_s
from peft_studio.core.services.rent.meter import build_readings, end_reading, left_usd, newest, read_machine
from peft_studio.core.services.rent.moment import Moment, Now
from peft_studio.core.services.rent.notice import Seen
from peft_studio.core.services.rent.record import Done, Intent, Record
from peft_studio.core.services.rent.replies import after_create, follow_up, say_trouble
from peft_studio.core.services.rent.store import Reading, StaleWorker, Store
from peft_studio.core.services.rent.sweep import adopt, find_strays, is_overdue

BuildRent = Callable[[Intent], Rent]
"""What to buy for an intent, secrets included. Quick, asks no network; a StudioError leaves the attempt for later."""
GAP_S = 60.0  # from one turn to the next: this process slept, or was frozen, and has not been looking
STEPS = 24  # at one record in one turn, so that none keeps the others waiting


def say_not_connected(name: str) -> str:
    """Why nothing is known of a provider, where nothing else is the matter."""
    return f"{name} is not connected, so nothing can be asked of it."


class Keeper:
    """One provider's, in one process. ``token``: of that process, unlike any other's. ``say_blind``: why a provider cannot be asked."""

    def __init__(
        self, provider: str, store: Store, *, rentals: Rentals, build_rent: BuildRent, token: str, now: Now, limits: Limits = LIMITS,
        say_blind: Callable[[str], str] | None = None,
    ) -> None:  # fmt: skip
        self.provider, self.store = provider, store
        self._rentals, self._build_rent, self._token = rentals, build_rent, token
        self._now, self._limits, self._say_blind = now, limits, say_blind or say_not_connected
        self._began = now()
        self._holds = False
        self._failed = 0
        self._look_at: Moment | None = None
        self._turned_at: Moment | None = None
        self._watching: Moment | None = None
        self.why_blind = ""
        self.trouble = ""  # what kept this process from its work, for whoever runs it to say aloud

    def turn(self) -> float:
        """Look once and do what is due. Returns after how many seconds to look again."""
        now = self._now()
        if self._turned_at is None or now.past(self._turned_at) > GAP_S:
            self._watching = now
        try:
            return self._turn()
        finally:
            self._turned_at = self._now()  # a provider that is slow to answer is no gap

    def _turn(self) -> float:
        self.trouble = ""
        rental = self._rentals().get(self.provider)
        seen = self._look(rental)
        if seen is not None:
            try:
                self._sweep(seen)
            except RentError as exc:  # a full disk keeps no machine from being ended
                self.trouble = str(exc)
        waits = [self._care(record, rental, seen) for record in self._mine()]
        if seen is None:
            left_s = self._look_in_s(self._now()) if rental is not None else self._limits.calm_s
            return min(self._limits.calm_s, max(1.0, left_s))
        return max(1.0, min([self._limits.calm_s, *waits]))

    def _mine(self) -> list[Record]:
        return [record for record in self.store.list_open() if record.intent.provider == self.provider]

    def _look(self, rental: Rental | None) -> Seen | None:
        """The whole list; None where there is none, and ``why_blind`` says why."""
        asked_at = self._now()
        if rental is None:
            self.why_blind = self._say_blind(self.provider)
            return None
        if self._look_in_s(asked_at) > 0:
            return None
        answer = attempt(rental.list_instances)
        if isinstance(answer, Instances):
            self.why_blind, self._failed = "", 0
            return Seen(answer.instances, asked_at, self._now())
        self.why_blind, self._failed = str(answer), self._failed + 1
        told_s = min((answer.retry_after_s or 0.0) if isinstance(answer, RateLimited) else 0.0, self._limits.longest_s)
        self._look_at = self._now().later(max(look_wait_s(self._failed, self._limits), told_s))
        return None

    def _look_in_s(self, now: Moment) -> float:
        """How long the provider is to be left alone after a list that failed."""
        if not self._failed or self._look_at is None or self._look_at.boot != now.boot:
            return 0.0
        return self._look_at.steady_s - now.steady_s

    def _sweep(self, seen: Seen) -> None:
        """Whatever carries our prefix has an open record after this, or is shown as a stray."""
        unknown: list[Instance] = []
        for one in seen.instances:
            record = self.store.find(one.label) if one.label.startswith("ps-") else None
            if record is None:
                unknown.append(one)
            elif not record.open:
                self.store.reopen(one.label, "ghost", self._now())
        strays = find_strays(self.provider, unknown, home=self.store.home_tag())
        for stray in strays:
            if is_overdue(stray, self._now(), self._began) and self.store.find(stray.label) is None:
                with contextlib.suppress(ValueError):  # another process was quicker
                    self.store.put(adopt(stray, self._now()))
        self.store.set_strays(self.provider, strays)

    def _care(self, record: Record, rental: Rental | None, seen: Seen | None) -> float:
        """Take one record as far as it goes now."""
        try:
            return self._advance(record, rental, seen)
        except StaleWorker:
            return self._limits.busy_s
        except RentError as exc:  # a full disk: the others have their turn all the same
            self.trouble = str(exc)
            return self._limits.busy_s
        finally:
            if self._holds:
                self._holds = False
                with contextlib.suppress(RentError):
                    self.store.release(record.label, self._token)

    def _advance(self, record: Record, rental: Rental | None, seen: Seen | None) -> float:
        self._read_meter(record, seen)
        for number in range(STEPS):
            now = self._now()
            if number and seen is not None and now.surely_past(seen.asked_at) > self._limits.fresh_s:
                return 1.0  # a slow provider: how its machines got on meanwhile is not in this list
            left = left_usd(self.store, record, now)
            step = decide(record, seen, now, left_usd=left, watching=self._watching, limits=self._limits)
            if self.why_blind or step.done.leaving is None:
                said = say_trouble(step.done, self.why_blind, now)
                step = step if said is step.done else replace(step, done=said)
            if step.act == "wait" and step.done == record.done:
                return step.wait_s
            claimed = self._claim(record, now)
            if claimed is None:
                return self._limits.busy_s
            if (claimed.edition, claimed.wish) != (record.edition, record.wish):
                record = claimed  # somebody was quicker, or said something: decide anew
                continue
            if step.act == "end" and rental is None:
                # That it is to go, and what keeps it from that, is put down; that it was asked to is not.
                unasked = replace(step.done, ends=record.done.ends)
                if unasked != record.done:
                    self.store.write(record, self._token, unasked)
                return self._limits.calm_s
            record = self._carry_out(record, rental, step)
            if not record.open:
                return self._limits.calm_s
            if step.act == "create" and record.done.asked_at is None:
                return self._limits.busy_s
        return self._limits.busy_s

    def _claim(self, record: Record, now: Moment) -> Record | None:
        claimed = self.store.claim(record.label, self._token, now, hold_s=self._limits.hold_s)
        self._holds = self._holds or claimed is not None
        return claimed

    def _carry_out(self, record: Record, rental: Rental | None, step: Step) -> Record:
        if step.act == "create" and rental is not None:
            return self._create(record, rental, step)
        if step.act == "end" and rental is not None:
            return self._end(record, rental, step)
        if step.act == "close":
            return self._close(record, step)
        return self.store.write(record, self._token, step.done)

    def _create(self, record: Record, rental: Rental, step: Step) -> Record:
        rent = attempt(lambda: self._build_rent(record.intent))
        if isinstance(rent, StudioError):
            return self.store.write(record, self._token, say_trouble(record.done, str(rent), self._now()))
        record = self.store.write(record, self._token, step.done)
        asked_at = step.done.asked_at or self._now()
        if self._now().past(asked_at) > self._limits.send_s:  # frozen in between: somebody else has taken it on by now
            unsent = leave(replace(record.done, made="refused"), "refused", self._now())
            return self.store.write(record, self._token, unsent)
        reply = attempt(lambda: rental.submit_job(rent))
        try:
            record = self.store.write(record, self._token, after_create(record.done, reply, self._now()))
        except StaleWorker:  # frozen in the sending: the others may have given it up, and it is there after all
            found = self.store.find(record.label)
            if found is not None and not found.open:
                self.store.reopen(record.label, "ghost", self._now())
            raise
        if isinstance(reply, Instance):
            self._keep_readings(record, [read_machine(record, reply)])
        return record

    def _end(self, record: Record, rental: Rental, step: Step) -> Record:
        with contextlib.ExitStack() as full_disk:
            if record.done.leaving or record.wish.end:  # what is on disk says so already, and asking twice is no error
                full_disk.enter_context(contextlib.suppress(RentError))
            record = self.store.write(record, self._token, step.done)
        answer = attempt(lambda: rental.end_instance(step.instance_id))
        said: Done = say_trouble(record.done, str(answer) if isinstance(answer, StudioError) else "", self._now())
        return record if said == record.done else self.store.write(record, self._token, said)

    def _close(self, record: Record, step: Step) -> Record:
        now = self._now()
        gone_at = step.done.gone_at or now
        left = [one for one in self._last(record).values() if one.billed != "nothing"]
        self._keep_readings(record, [end_reading(one, record, gone_at) for one in left])
        following = follow_up(
            replace(record, done=step.done), now, home=self.store.home_tag(), left_usd=left_usd(self.store, record, now)
        )
        if following and following.attempt in {one.intent.attempt for one in self.store.list_run(record.intent.run_id)}:
            following = None  # it was closed before, and came to light again
        return self.store.write(record, self._token, step.done, following=following)

    def _read_meter(self, record: Record, seen: Seen | None) -> None:
        if seen is not None:
            self._keep_readings(record, build_readings(record, seen, self._last(record)))

    def _keep_readings(self, record: Record, readings: list[Reading]) -> None:
        if readings:
            self.store.add_readings(readings)

    def _last(self, record: Record) -> dict[str, Reading]:
        return newest(one for one in self.store.read_meter(record.intent.run_id) if one.label == record.label)
