"""The tables of rented machines, and their failures in words."""

from __future__ import annotations

from pathlib import Path

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.label import new_home_tag
from peft_studio.core.sqlite_file import SqliteFile, Words

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
)
_BY_HAND = "End the machines on the provider's own page: those of PEFT Studio have names that begin with ps-."
IF_DAMAGED = f"It is left as it is. {_BY_HAND} Then move the file away to begin a new one."
_WORDS = Words(
    RentError,
    "The file of rented machines",
    if_busy=f"Make room on the disk, or end what holds the file, and try again. {_BY_HAND}",
    if_damaged=IF_DAMAGED,
)


def rentals_file(folder: Path) -> SqliteFile:
    """The file of a home's rented machines, made on first use."""
    # A tag for a new file; one that is there has its own.
    schema = (*_SCHEMA, f"INSERT INTO home (tag) VALUES ('{new_home_tag()}')")  # noqa: S608  letters and digits of ours
    return SqliteFile(folder.absolute() / "rentals.sqlite", schema, _WORDS)
