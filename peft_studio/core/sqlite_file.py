"""A SQLite file that several processes write: how it is opened, its transactions, its failures in words. Knows nothing of what stands in it.

A rollback journal and not a write-ahead log: SQLite up to 3.51.2, which most Pythons have, can lose committed writes of two processes
in a write-ahead log (docs/decisions/2026-11-26-outbox-in-sqlite-without-wal.md).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_studio.core.errors import StudioError
from peft_studio.core.system import locked, open_private, sync_folder

VERSION = 1
BUSY_S = 30.0

_INHERITED: list[sqlite3.Connection] = []


@dataclass(frozen=True)
class Words:
    """What its failures are called, and what to do about them."""

    error: type[StudioError]
    name: str  # "The outbox": the beginning of a sentence
    if_busy: str
    if_damaged: str


class SqliteFile:
    """One connection a process, shared by its threads. Any number of processes may have the file open.

    What is committed survives a power cut. ``schema`` makes the tables of a new file; all of it is there, or none.
    """

    def __init__(self, path: Path, schema: Sequence[str], words: Words) -> None:
        self.path = path
        self._schema = (*schema, f"PRAGMA user_version = {VERSION}")
        self._words = words
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
        """The rows that answer one question."""
        with self._lock, self._in_words():
            return self._open().execute(question, values).fetchall()

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
            self._db, self._pid = self._connect(), os.getpid()
        return self._db

    def _leave_to_parent(self) -> None:
        """After a fork: whoever closes the parent's connection undoes what the parent is at. So it is kept, for good, and not used."""
        if self._db is not None and self._pid != os.getpid():
            _INHERITED.append(self._db)
            self._db = None

    def _connect(self) -> sqlite3.Connection:
        path = self.path
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
                for statement in self._schema:
                    db.execute(statement)
                db.execute("COMMIT")
            elif version > VERSION:
                problem = f"{self._words.name} at {path} is of a newer PEFT Studio."
                raise self._words.error(problem, hint="Upgrade PEFT Studio; nothing was changed.")
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
            on_failure.pop_all()
        return db

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        words = self._words
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.OperationalError, OSError) as exc:
            problem = f"{words.name} at {self.path} could not be read or written: {exc}."
            raise words.error(problem, hint=words.if_busy) from exc
        except sqlite3.DatabaseError as exc:
            raise words.error(f"{words.name} at {self.path} is damaged: {exc}.", hint=words.if_damaged) from exc


def holds(path: Path, what: str) -> bool:
    """Whether a row is there (``"entries WHERE …"``), asked without making or holding anything. True, too, where it cannot be told just now."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as db:
            return bool(db.execute(f"SELECT EXISTS (SELECT 1 FROM {what})").fetchone()[0])  # noqa: S608  words of ours
    except sqlite3.Error:  # held by another process, or left in the middle of a write by one that died
        return True
