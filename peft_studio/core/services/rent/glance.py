"""Whether machines may be there that nobody watches, for whoever only passes by: it makes nothing, waits for nobody, and loads next to nothing."""

from __future__ import annotations

from pathlib import Path

from peft_studio.core.system import is_locked


def has_rented(folder: Path) -> bool:
    """Whether this home ever rented a machine."""
    return (folder / "rentals.sqlite").exists()


def is_unwatched(folder: Path) -> bool:
    """Whether a record is open and no process watches. True, too, where it cannot be told: a second watcher ends by itself."""
    return has_rented(folder) and not is_locked(folder / "watch.lock") and _exists(folder, "records WHERE is_open")


def has_lost(folder: Path) -> bool:
    """Whether a machine of this home was seen of which the record is lost."""
    return has_rented(folder) and _exists(folder, "strays WHERE ours")


def _exists(folder: Path, what: str) -> bool:
    from peft_studio.core.sqlite_file import holds

    return holds(folder / "rentals.sqlite", what)
