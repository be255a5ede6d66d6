"""The copies that a push makes in the home: there while something may still send them, thrown away afterwards. The record of it stays."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from peft_studio.core.offline.entry import Entry

FOLDER, BUNDLE = "publications", "bundle"
ABANDONED_S = 24 * 3600.0  # as long as a push may take
_ID = re.compile(r"(push|\.?merged)-[0-9a-f]{16}")


def staged_folder(home: Path, push_id: str) -> Path:
    """Where the copies of a push stand."""
    return home / FOLDER / push_id


def drop_staged(home: Path, push_id: str) -> None:
    """Throw away the copies of a push that is done. A bundle is for a person to upload, and stays."""
    folder = staged_folder(home, push_id)
    if not _ID.fullmatch(push_id) or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_file():
            path.unlink(missing_ok=True)
    if not (folder / BUNDLE).is_dir():
        shutil.rmtree(folder, ignore_errors=True)


def drop_merged(home: Path, sources: Iterable[Path | None]) -> None:
    """Throw away a merged model whose files have been published."""
    for folder in {source.parent for source in sources if source is not None}:
        if folder.name.startswith("merged-") and folder == staged_folder(home, folder.name):
            drop_staged(home, folder.name)


def drop_abandoned(home: Path, waiting: Iterable[Entry], *, now: float | None = None) -> None:
    """Throw away copies that nobody will send any more: a day old, and of no operation in the outbox, refused ones included."""
    before = (time.time() if now is None else now) - ABANDONED_S
    old = [path for path in (home / FOLDER).glob("*-*") if _changed_at(path) < before]
    if not old:
        return
    needed = set()
    for entry in waiting:
        if not entry.readable:
            return  # nobody knows what it names
        upload = entry.payload.get("upload") if isinstance(entry.payload, dict) else None
        needed.add(str(upload.get("id")) if isinstance(upload, dict) else "")
    for path in old:
        if path.name not in needed:
            drop_staged(home, path.name)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has thrown it away
        return math.inf
