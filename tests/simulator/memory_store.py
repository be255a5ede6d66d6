"""The store in memory: the same promises as the one on disk, thousands of times faster. ``cross`` is called before and after every durable write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.idle import Verdict
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Done, Intent, Record, Why, Wish, open_again
from peft_studio.core.services.rent.store import Bill, Reading, StaleWorker, Stray


class MemoryStore:
    """What is on disk. It outlives the processes that use it."""

    def __init__(self, tag: str, cross: Callable[[str], None]) -> None:
        self.tag, self.cross = tag, cross
        self.records: dict[str, Record] = {}
        self.holds: dict[str, tuple[str, Moment]] = {}
        self.meter: list[Reading] = []
        self.bills: list[Bill] = []
        self.strays: dict[str, list[Stray]] = {}
        self.cap: Decimal | None = None
        self.full = lambda: False

    def home_tag(self) -> str:
        return self.tag

    def month_cap(self) -> Decimal | None:
        return self.cap

    def set_month_cap(self, usd: Decimal | None) -> None:
        self.cap = usd

    def _write(self, what: str, change: Callable[[], None]) -> None:
        self.cross(f"store.{what} before")
        if self.full():
            raise RentError("the disk is full")
        change()
        self.cross(f"store.{what} after")

    def put(self, intent: Intent) -> Record:
        def change() -> None:
            self._check_new(intent)
            self.records[intent.label] = Record(intent)

        self._write("put", change)
        return Record(intent)

    def _check_new(self, intent: Intent) -> None:
        attempts = {(record.intent.run_id, record.intent.attempt) for record in self.records.values()}
        if intent.label in self.records or (intent.attempt and (intent.run_id, intent.attempt) in attempts):
            raise ValueError(f"{intent.label!r} or its attempt is on record already")

    def find(self, label: str) -> Record | None:
        return self.records.get(label)

    def list_open(self) -> list[Record]:
        return [record for record in self.records.values() if record.open]

    def list_run(self, run_id: str | None = None) -> list[Record]:
        return [record for record in self.records.values() if run_id is None or record.intent.run_id == run_id]

    def claim(self, label: str, token: str, now: Moment, *, hold_s: float) -> Record | None:
        free = False

        def change() -> None:
            nonlocal free
            holder, until = self.holds.get(label, ("", now))
            free = holder in {"", token} or not _is_held(until, now, hold_s)
            if free:
                self.holds[label] = (token, now.later(hold_s))

        self._write("claim", change)
        return self.records[label] if free else None

    def write(self, record: Record, token: str, done: Done, *, following: Intent | None = None) -> Record:
        label = record.label

        def change() -> None:
            if self.holds.get(label, ("", None))[0] != token or self.records[label].edition != record.edition:
                raise StaleWorker(f"another process looks after {label} now")
            self.records[label] = replace(self.records[label], done=done, edition=record.edition + 1)
            if following is not None and self.records[label].wish.end is None:
                self._check_new(following)
                self.records[following.label] = Record(following)

        self._write("write", change)
        return replace(record, done=done, edition=record.edition + 1)

    def release(self, label: str, token: str) -> None:
        def change() -> None:
            if self.holds.get(label, ("", None))[0] == token:
                del self.holds[label]

        self._write("release", change)

    def wish_end(self, label: str, why: Why) -> None:
        self._wish(label, lambda wish: replace(wish, end=wish.end or why))

    def wish_price(self, label: str, usd_per_hour: Decimal) -> None:
        self._wish(label, lambda wish: replace(wish, price_ok=usd_per_hour))

    def wish_moved(self, label: str, at: Moment, *, ready: bool = False) -> None:
        self._wish(label, lambda wish: replace(wish, moved_at=at, ready=ready or wish.ready))

    def wish_idle(self, label: str, verdict: Verdict) -> None:
        self._wish(label, lambda wish: replace(wish, idle="stop" if wish.idle == "stop" else verdict))

    def wish_took(self, label: str, seconds: float) -> None:
        self._wish(label, lambda wish: replace(wish, took_s=seconds))

    def wish_fetching(self, label: str) -> None:
        self._wish(label, lambda wish: replace(wish, fetching=True))

    def _wish(self, label: str, change: Callable[[Wish], Wish]) -> None:
        def apply() -> None:
            self.records[label] = replace(self.records[label], wish=change(self.records[label].wish))

        self._write("wish", apply)

    def reopen(self, label: str, why: Why, at: Moment) -> None:
        def apply() -> None:
            record = self.records[label]
            if not record.open:
                self.records[label] = replace(record, done=open_again(record.done, why, at), edition=record.edition + 1)
                self.holds.pop(label, None)

        self._write("reopen", apply)

    def read_meter(self, run_id: str | None = None) -> list[Reading]:
        return [one for one in self.meter if run_id is None or self.records[one.label].intent.run_id == run_id]

    def add_readings(self, readings: Sequence[Reading]) -> None:
        self._write("meter", lambda: self.meter.extend(readings))

    def read_bills(self) -> list[Bill]:
        return self.bills

    def add_bills(self, bills: Sequence[Bill]) -> None:
        self._write("bills", lambda: self.bills.extend(bills))

    def set_strays(self, provider: str, strays: Sequence[Stray]) -> None:
        if self.strays.get(provider, []) != list(strays):
            self._write("strays", lambda: self.strays.__setitem__(provider, list(strays)))

    def list_strays(self) -> list[Stray]:
        return [one for strays in self.strays.values() for one in strays]


def _is_held(until: Moment, now: Moment, hold_s: float) -> bool:
    if until.boot == now.boot:
        return now.steady_s < until.steady_s
    return now.wall_s < until.wall_s <= now.wall_s + hold_s
