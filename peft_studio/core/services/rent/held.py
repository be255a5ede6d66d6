"""Whose keys the process that watches has: names alone, written by it once it holds the lock, read by whoever thinks of taking its place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from peft_studio.core.system import is_locked, write_private

FILE = "watch.held"


def note_held(folder: Path, names: Iterable[str]) -> None:
    """Write it down, for as long as this process watches."""
    write_private(folder / FILE, json.dumps(sorted(names)))


def find_held(folder: Path) -> frozenset[str] | None:
    """Those names; none while nobody watches, None where whoever watches does not say."""
    if not is_locked(folder / "watch.lock"):
        return frozenset()
    try:
        return frozenset(json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
