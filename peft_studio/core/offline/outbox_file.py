"""The SQLite file of an outbox: its tables, its transactions, its failures in words. Knows nothing of sending or sealing.

A rollback journal and not a write-ahead log: SQLite up to 3.51.2, which most Pythons have, can lose committed writes of two processes
in a write-ahead log (docs/decisions/2026-11-26-outbox-in-sqlite-without-wal.md).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peft_studio.core.errors import OutboxError
from peft_studio.core.system import locked, open_private, sync_folder

VERSION = 1
BUSY_S = 30.0
_SCHEMA = (
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, target TEXT NOT NULL, kind TEXT NOT NULL,"
    " key_name TEXT NOT NULL, payload BLOB NOT NULL, size INTEGER NOT NULL, state TEXT NOT NULL, holds INTEGER NOT NULL,"
    " unsure INTEGER NOT NULL, tries INTEGER NOT NULL, edition INTEGER NOT NULL, queued_at REAL NOT NULL, failed_at REAL,"
    " wait_s REAL NOT NULL, cause TEXT NOT NULL, reason BLOB)",
    "CREATE INDEX entries_line ON entries (target, seq, state, holds, size)",
    "CREATE TABLE receipts (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, target TEXT NOT NULL, kind TEXT NOT NULL,"
    " key_name TEXT NOT NULL, ended_at REAL NOT NULL, was_sent INTEGER NOT NULL, receipt BLOB)",
    "CREATE TABLE totals (entries INTEGER NOT NULL, size INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0, 0)",
    "CREATE TRIGGER entry_in AFTER INSERT ON entries BEGIN UPDATE totals SET entries = entries + 1, size = size + new.size; END",
    "CREATE TRIGGER entry_out AFTER DELETE ON entries BEGIN UPDATE totals SET entries = entries - 1, size = size - old.size; END",
    "CREATE TRIGGER entry_edited AFTER UPDATE OF size ON entries BEGIN UPDATE totals SET size = size - old.size + new.size; END",
    f"PRAGMA user_version = {VERSION}",
)

_INHERITED: list[sqlite3.Connection] = []


class OutboxFile:
    """One connection a process, shared by its threads. Any number of processes may have the file open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "outbox.sqlite"
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._pid = 0

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on disk when the block ends, or none of it. Other writers wait meanwhile."""
        with self._lock, self._in_words():
            db = self._open()
            if db.in_transaction:  # Ctrl-C came between the end of a block and its undoing
                db.execute("ROLLBACK")
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def read(self, question: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """The rows that answer one question. An outbox that was never used has none, and is not made for this."""
        with self._lock, self._in_words():
            return self._open().execute(question, values).fetchall() if self.path.exists() else []

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            self._leave_to_parent()
            if self._db is not None:
                self._db.close()
            self._db = None

    def _open(self) -> sqlite3.Connection:
        self._leave_to_parent()
        if self._db is not None and not self.path.exists():  # the home was moved or deleted under us
            self.close()
        if self._db is None:
            self._db, self._pid = _connect(self.path), os.getpid()
        return self._db

    def _leave_to_parent(self) -> None:
        """After a fork: whoever closes the parent's connection undoes what the parent is at. So it is kept, for good, and not used."""
        if self._db is not None and self._pid != os.getpid():
            _INHERITED.append(self._db)
            self._db = None

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.OperationalError as exc:
            raise OutboxError(
                f"The outbox at {self.path} could not be read or written: {exc}.",
                hint="Nothing was changed. Make room on the disk, or end what holds the file, and try again.",
            ) from exc
        except sqlite3.DatabaseError as exc:
            raise OutboxError(
                f"The outbox at {self.path} is damaged: {exc}.",
                hint="It is left as it is. Move the file away to begin a new one; what waited in it has to be done again by hand.",
            ) from exc


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Whoever closes a file loses all its locks on it, so the file is made before this process, or another, has it open.
    with locked(path.with_name("opening.lock")), contextlib.ExitStack() as on_failure:
        if not path.exists():
            os.close(open_private(path, os.O_CREAT | os.O_RDWR))
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        on_failure.callback(db.close)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous=EXTRA")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if not version:
            db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("COMMIT")
        elif version > VERSION:
            raise OutboxError(
                f"The outbox at {path} is of a newer PEFT Studio.", hint="Upgrade PEFT Studio; nothing was changed."
            )
        sync_folder(path.parent)
        sync_folder(path.parent.parent)
        on_failure.pop_all()
    return db
