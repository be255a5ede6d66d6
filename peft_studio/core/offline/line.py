"""One target's line: held by one worker at a time, its head taken, and what came of it written down.

Holding a line is a lock of the operating system on a file. It ends with the process, SIGKILL included, and with nothing else: no clock, no
lease that runs out under a process that was only stopped, no process id that a container cannot see. What is taken is marked as perhaps
sent, durably, before the first byte goes out; that mark is all that a crash leaves behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peft_studio.core.offline.entry import Cause, Entry
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.system import open_private, try_lock

TOGETHER_BYTES = 4 * 2**20  # of payloads that are taken at once


@dataclass(frozen=True, slots=True)
class Taken:
    """The operations at the head of a line that may be sent now; and why it goes no further: ``left_s`` to wait, or ``why``."""

    entries: tuple[Entry, ...]
    left_s: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one operation. ``text`` is a receipt, or the reason in words."""

    entry: Entry
    end: Literal["sent", "later", "dead", "untouched"]
    text: str = ""
    cause: Cause = ""
    wait_s: float = 0.0
    unsure: bool = True


class Line:
    """One target's operations, while this worker holds them; see :func:`held_line`."""

    def __init__(self, outbox: Outbox, target: str) -> None:
        self.target = target
        self._outbox = outbox

    def take(self, most: int) -> Taken:
        """Mark up to ``most`` operations at the head as perhaps sent, and return them as they were before."""
        outbox, now, taken = self._outbox, self._outbox.now(), list[Entry]()
        with outbox.file.writing() as db:
            left_s, why = 0.0, ""
            for row in self._head(db, most):
                entry = outbox.entry(row)
                if entry.state == "dead":
                    why = _held_by(entry)
                elif not outbox.has_key(row):
                    why = f"{entry.kind} {entry.id} is {entry.reason}"
                elif (left_s := entry.left_s(now)) > 0:
                    why = entry.reason
                elif entry.readable:
                    taken.append(entry)
                    continue
                else:
                    self._bury_unreadable(db, row, entry)
                    if not entry.holds:
                        continue
                    why = _held_by(entry)
                break
            db.executemany("UPDATE entries SET unsure = 1 WHERE seq = ?", [(entry.seq,) for entry in taken])
        return Taken(tuple(taken), left_s, why)

    def _head(self, db: sqlite3.Connection, most: int) -> list[sqlite3.Row]:
        """Up to ``most`` rows, and no more of them than fit in memory together."""
        line = "FROM entries WHERE target = ? AND (state = 'waiting' OR holds)"
        sizes = db.execute(f"SELECT seq, size {line} ORDER BY seq LIMIT ?", (self.target, most)).fetchall()
        total, last = 0, 0
        for seq, size in sizes:
            total += size
            if last and total > TOGETHER_BYTES:
                break
            last = seq
        return db.execute(f"SELECT * {line} AND seq <= ? ORDER BY seq", (self.target, last)).fetchall()

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Write down what came of what was taken, all or nothing."""
        now = self._outbox.now()
        with self._outbox.file.writing() as db:
            for one in outcomes:
                row = db.execute(
                    "SELECT seq, id, target, kind, key_name FROM entries WHERE seq = ?", (one.entry.seq,)
                ).fetchone()
                if row is not None:
                    self._settle(db, row, one, now)

    def _settle(self, db: sqlite3.Connection, row: sqlite3.Row, one: Outcome, now: float) -> None:
        seq = one.entry.seq
        if one.end == "untouched":
            db.execute("UPDATE entries SET unsure = ? WHERE seq = ?", (one.entry.unsure, seq))
        elif one.end == "sent":
            self._outbox.end(db, row, sent=True, text=one.text)
        else:
            state = "dead" if one.end == "dead" else "waiting"
            db.execute(
                "UPDATE entries SET state = ?, unsure = ?, tries = tries + 1, failed_at = ?, wait_s = ?, cause = ?, reason = ?"
                " WHERE seq = ?",
                (state, one.unsure, now, one.wait_s, one.cause, self._outbox.sealed(row, "reason", one.text), seq),
            )

    def _bury_unreadable(self, db: sqlite3.Connection, row: sqlite3.Row, entry: Entry) -> None:
        reason = self._outbox.sealed(row, "reason", entry.reason)
        db.execute("UPDATE entries SET state = 'dead', cause = 'sealed', reason = ? WHERE seq = ?", (reason, entry.seq))


@contextlib.contextmanager
def held_line(outbox: Outbox, target: str) -> Iterator[Line | None]:
    """Hold a target's line while the block runs; None when another worker, here or in another process, holds it."""
    path = outbox.folder / "lines" / f"{hashlib.blake2b(target.encode(), digest_size=16).hexdigest()}.lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for _ in range(8):
        with os.fdopen(open_private(path, os.O_RDWR | os.O_CREAT), "r+b") as file:
            if not try_lock(file):
                break
            if not _is_same(file.fileno(), path):
                continue  # its last holder has removed it: a lock on it holds nothing
            try:
                yield Line(outbox, target)
            finally:
                if not outbox.count(target):
                    with contextlib.suppress(OSError):  # Windows keeps a file that is open
                        path.unlink()
            return
    yield None


def _is_same(fd: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False


def _held_by(entry: Entry) -> str:
    return f"waits until {entry.kind} {entry.id}, which was refused, is repaired or dropped"
