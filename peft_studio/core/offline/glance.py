"""Whether something waits in an outbox, for whoever only passes by: it makes nothing, waits for nobody, and loads next to nothing."""

from __future__ import annotations

from pathlib import Path


def has_waiting(folder: Path) -> bool:
    """Whether operations wait there to be sent. True, too, where it cannot be told just now: whoever then opens the outbox will see."""
    path = folder / "outbox.sqlite"
    if not path.exists():
        return False
    import contextlib
    import sqlite3

    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as db:
            return bool(db.execute("SELECT EXISTS (SELECT 1 FROM entries WHERE state = 'waiting')").fetchone()[0])
    except sqlite3.Error:  # held by another process, or left in the middle of a write by one that died
        return True
