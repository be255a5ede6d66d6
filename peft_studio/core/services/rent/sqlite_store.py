"""The records of one home on disk. A rollback journal with EXTRA sync: what a method has returned from survives a power cut.

A worker's hold of a record runs out, unlike the outbox's locks: a worker that was stopped must not keep others from ending a machine.
What it writes when it wakes up is refused by its token and by the edition it had read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.idle import Verdict
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Done, Intent, Record, Why, Wish, open_again
from peft_studio.core.services.rent.rentals_file import rentals_file
from peft_studio.core.services.rent.rows import DONE, INTENT, MOMENT, WISH, read_moment, read_record
from peft_studio.core.services.rent.store import Bill, Reading, StaleWorker, Stray


class SqliteStore:
    """A file in ``folder``, made on first use. Threads of a process share one; a forked child makes its own."""

    def __init__(self, folder: Path) -> None:
        self.file = rentals_file(folder)
        self.path = self.file.path

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        self.file.close()

    def home_tag(self) -> str:
        return str(self.file.read("SELECT tag FROM home")[0]["tag"])

    def month_cap(self) -> Decimal | None:
        text = self.file.read("SELECT month_cap FROM home")[0]["month_cap"]
        return None if text is None else Decimal(text)

    def set_month_cap(self, usd: Decimal | None) -> None:
        with self.file.writing() as db:
            db.execute("UPDATE home SET month_cap = ?", (None if usd is None else str(usd),))

    def put(self, intent: Intent) -> Record:
        with self.file.writing() as db:
            _insert(db, intent)
        return Record(intent)

    def find(self, label: str) -> Record | None:
        rows = self.file.read("SELECT * FROM records WHERE label = ?", (label,))
        return read_record(rows[0]) if rows else None

    def list_open(self) -> list[Record]:
        return [read_record(row) for row in self.file.read("SELECT * FROM records WHERE is_open ORDER BY seq")]

    def list_run(self, run_id: str | None = None) -> list[Record]:
        if run_id is None:
            return [read_record(row) for row in self.file.read("SELECT * FROM records ORDER BY seq")]
        return [
            read_record(row) for row in self.file.read("SELECT * FROM records WHERE run_id = ? ORDER BY seq", (run_id,))
        ]

    def claim(self, label: str, token: str, now: Moment, *, hold_s: float) -> Record | None:
        with self.file.writing() as db:
            row = _row(db, label)
            if row["token"] not in {"", token} and _is_held(read_moment(row["held_until"]), now, hold_s):
                return None
            held_until = MOMENT.dump_json(now.later(hold_s)).decode()
            db.execute("UPDATE records SET token = ?, held_until = ? WHERE label = ?", (token, held_until, label))
            return read_record(row)

    def write(self, record: Record, token: str, done: Done, *, following: Intent | None = None) -> Record:
        with self.file.writing() as db:
            changed = db.execute(
                "UPDATE records SET done = ?, is_open = ?, edition = edition + 1 WHERE label = ? AND token = ? AND edition = ?",
                (DONE.dump_json(done).decode(), done.closed_at is None, record.label, token, record.edition),
            ).rowcount
            if changed != 1:
                raise StaleWorker(f"Another process looks after {record.label} now.")
            if following is not None and read_record(_row(db, record.label)).wish.end is None:
                _insert(db, following)
            return replace(record, done=done, edition=record.edition + 1)

    def release(self, label: str, token: str) -> None:
        with self.file.writing() as db:
            db.execute("UPDATE records SET token = '', held_until = NULL WHERE label = ? AND token = ?", (label, token))

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

    def reopen(self, label: str, why: Why, at: Moment) -> None:
        with self.file.writing() as db:
            record = read_record(_row(db, label))
            if not record.open:
                db.execute(
                    "UPDATE records SET done = ?, is_open = 1, edition = edition + 1, token = '', held_until = NULL WHERE label = ?",
                    (DONE.dump_json(open_again(record.done, why, at)).decode(), label),
                )

    def read_meter(self, run_id: str | None = None) -> list[Reading]:
        question = (
            "SELECT meter.* FROM meter JOIN records USING (label) WHERE ? IS NULL OR run_id = ? ORDER BY meter.seq"
        )
        return [
            Reading(row["label"], row["instance_id"], row["at_s"], row["billed"], Decimal(row["usd_per_hour"]))
            for row in self.file.read(question, (run_id, run_id))
        ]

    def add_readings(self, readings: Sequence[Reading]) -> None:
        values = [(one.label, one.instance_id, one.at_s, one.billed, str(one.usd_per_hour)) for one in readings]
        with self.file.writing() as db:
            db.executemany(
                "INSERT INTO meter (label, instance_id, at_s, billed, usd_per_hour) VALUES (?, ?, ?, ?, ?)", values
            )

    def read_bills(self) -> list[Bill]:
        rows = self.file.read("SELECT * FROM bills ORDER BY instance_id, begin_s")
        return [Bill(row["instance_id"], row["begin_s"], row["end_s"], Decimal(row["usd"])) for row in rows]

    def add_bills(self, bills: Sequence[Bill]) -> None:
        values = [(one.instance_id, one.begin_s, one.end_s, str(one.usd)) for one in bills]
        with self.file.writing() as db:
            db.executemany("INSERT OR REPLACE INTO bills VALUES (?, ?, ?, ?)", values)

    def set_strays(self, provider: str, strays: Sequence[Stray]) -> None:
        if [one for one in self.list_strays() if one.provider == provider] == list(strays):
            return
        values = [
            (provider, one.instance_id, one.label, None if one.usd_per_hour is None else str(one.usd_per_hour), one.ours, one.ends_at_s)
            for one in strays
        ]  # fmt: skip
        with self.file.writing() as db:
            db.execute("DELETE FROM strays WHERE provider = ?", (provider,))
            db.executemany("INSERT INTO strays VALUES (?, ?, ?, ?, ?, ?)", values)

    def list_strays(self) -> list[Stray]:
        return [
            Stray(
                row["provider"], row["instance_id"], row["label"],
                None if row["usd_per_hour"] is None else Decimal(row["usd_per_hour"]), bool(row["ours"]), row["ends_at_s"],
            )
            for row in self.file.read("SELECT * FROM strays ORDER BY rowid")
        ]  # fmt: skip

    def _wish(self, label: str, change: Callable[[Wish], Wish]) -> None:
        with self.file.writing() as db:
            wish = change(read_record(_row(db, label)).wish)
            db.execute("UPDATE records SET wish = ? WHERE label = ?", (WISH.dump_json(wish).decode(), label))


def _row(db: sqlite3.Connection, label: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM records WHERE label = ?", (label,)).fetchone()
    if row is None:
        raise RentError(
            f"There is no rented machine {label!r} on record.", hint="studio.spend() lists those that there are."
        )
    return row


def _insert(db: sqlite3.Connection, intent: Intent) -> None:
    try:
        db.execute(
            "INSERT INTO records (label, run_id, attempt, is_open, intent, wish, done, edition, token) VALUES (?, ?, ?, 1, ?, ?, ?, 0, '')",
            (intent.label, intent.run_id, intent.attempt, INTENT.dump_json(intent).decode(), WISH.dump_json(Wish()).decode(), DONE.dump_json(Done()).decode()),
        )  # fmt: skip
    except sqlite3.IntegrityError as exc:
        raise ValueError(f"{intent.label!r} or its attempt is on record already, and none is used twice") from exc


def _is_held(until: Moment | None, now: Moment, hold_s: float) -> bool:
    if until is None:
        return False
    if until.boot == now.boot:
        return now.steady_s < until.steady_s
    return (
        now.wall_s < until.wall_s <= now.wall_s + hold_s
    )  # another computer's, on a shared disk, or from before a reboot
