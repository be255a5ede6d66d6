"""The SQLite file of rented machines: its tables, and how it is opened. A rollback journal, for the reason that the outbox has one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.label import new_home_tag
from peft_studio.core.system import locked, open_private, sync_folder

VERSION = 1
BUSY_S = 30.0
_SCHEMA = (
    "CREATE TABLE home (tag TEXT NOT NULL, month_cap TEXT)",
    "CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, attempt INTEGER NOT NULL, is_open INTEGER NOT NULL,"
    " intent TEXT NOT NULL, wish TEXT NOT NULL, done TEXT NOT NULL, edition INTEGER NOT NULL, token TEXT NOT NULL, held_until TEXT)",
    "CREATE INDEX records_open ON records (is_open) WHERE is_open",
    "CREATE UNIQUE INDEX records_run ON records (run_id, attempt) WHERE attempt > 0",  # 0: strays
    "CREATE TABLE meter (seq INTEGER PRIMARY KEY, label TEXT NOT NULL, instance_id TEXT NOT NULL, at_s REAL NOT NULL, billed TEXT NOT NULL,"
    " usd_per_hour TEXT NOT NULL)",
    "CREATE INDEX meter_label ON meter (label)",
    "CREATE TABLE bills (instance_id TEXT NOT NULL, begin_s REAL NOT NULL, end_s REAL NOT NULL, usd TEXT NOT NULL, PRIMARY KEY (instance_id, begin_s))",
    "CREATE TABLE strays (provider TEXT NOT NULL, instance_id TEXT NOT NULL, label TEXT NOT NULL, usd_per_hour TEXT, ours INTEGER NOT NULL,"
    " ends_at_s REAL, PRIMARY KEY (provider, instance_id))",
    f"PRAGMA user_version = {VERSION}",
)


def connect(path: Path) -> sqlite3.Connection:
    """Open it, made first where it is not there. What is committed survives a power cut."""
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
            db.execute("INSERT INTO home (tag) VALUES (?)", (new_home_tag(),))
            db.execute("COMMIT")
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
        elif version > VERSION:
            raise RentError(f"{path} is of a newer PEFT Studio.", hint="Upgrade PEFT Studio; nothing was changed.")
        on_failure.pop_all()
    return db
