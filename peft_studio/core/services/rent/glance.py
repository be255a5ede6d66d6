"""Whether machines may be there that nobody watches, for whoever only passes by: it makes nothing, waits for nobody, and loads next to nothing."""

from __future__ import annotations

from pathlib import Path

from peft_studio.core.system import is_locked


def has_rented(folder: Path) -> bool:
    """Whether this home ever rented a machine."""
    return (folder / "rentals.sqlite").exists()


def is_unwatched(folder: Path) -> bool:
    """Whether a record is open and no process watches. True, too, where it cannot be told: a second watcher ends by itself."""
    if not has_rented(folder) or is_locked(folder / "watch.lock"):
        return False
    import contextlib
    import sqlite3

    path = folder / "rentals.sqlite"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as db:
            return bool(db.execute("SELECT EXISTS (SELECT 1 FROM records WHERE is_open)").fetchone()[0])
    except sqlite3.Error:  # held by another process, or left in the middle of a write by one that died
        return True
