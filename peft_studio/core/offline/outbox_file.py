"""The tables of an outbox, and its failures in words. Knows nothing of sending or sealing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from peft_studio.core.errors import OutboxError
from peft_studio.core.sqlite_file import SqliteFile, Words

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
)
_WORDS = Words(
    OutboxError,
    "The outbox",
    if_busy="Nothing was changed. Make room on the disk, or end what holds the file, and try again.",
    if_damaged="It is left as it is. Move the file away to begin a new one; what waited in it has to be done again by hand.",
)


class OutboxFile(SqliteFile):
    """The file of the outbox in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "outbox.sqlite", _SCHEMA, _WORDS)

    def read(self, question: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """The rows that answer one question. An outbox that was never used has none, and is not made for this."""
        return super().read(question, values) if self.path.exists() else []
