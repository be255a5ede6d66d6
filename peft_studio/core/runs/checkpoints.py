"""Checkpoints on disk: which are whole, and which is the newest one that can be trusted.

A checkpoint is written inside ``.aside``, synced, given a ``MANIFEST.json`` with the size and SHA-256 of each file,
and renamed to ``checkpoint-<step>`` last. A kill at any moment leaves either the finished folder or one that is never looked at.
Knows nothing of what the files mean; the trainer does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from peft_studio.core.system import sync_folder

MANIFEST = "MANIFEST.json"
_NAME = re.compile(r"^checkpoint-(\d+)$")


def list_steps(checkpoints: Path) -> list[int]:
    """Steps that have a finished folder, ascending. Says nothing of whether their files still verify."""
    if not checkpoints.is_dir():
        return []
    return sorted(int(found[1]) for entry in checkpoints.iterdir() if (found := _NAME.match(entry.name)))


def checkpoint_path(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return checkpoints / f"checkpoint-{step}"


def find_newest(checkpoints: Path, *, at_most: int | None = None) -> int | None:
    """The newest step whose checkpoint verifies, None when there is none. Damaged ones are passed over."""
    for step in reversed(list_steps(checkpoints)):
        if (at_most is None or step <= at_most) and verify(checkpoint_path(checkpoints, step)):
            return step
    return None


def verify(folder: Path) -> bool:
    """Whether every file of the manifest is there with its size and digest."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return bool(files) and all(
            (folder / name).stat().st_size == entry["size_bytes"] and sha256_of(folder / name) == entry["sha256"]
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # the last three: JSON of another shape
        return False


def publish(aside: Path, folder: Path) -> tuple[str, int]:
    """Give a finished folder its manifest, sync everything and rename it into place.

    Returns:
        The digest of the manifest, which stands for the whole checkpoint, and the size in bytes of all its files.
    """
    files = sorted(path for path in aside.rglob("*") if path.is_file() and path != aside / MANIFEST)
    entries = {
        str(path.relative_to(aside)): {"size_bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in files
    }
    text = json.dumps({"files": entries}, indent=1)
    (aside / MANIFEST).write_text(text, encoding="utf-8")
    for path in (*files, aside / MANIFEST):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(aside)
    if folder.exists():  # a resumed run passes this step again; its bytes are the same, the newer stands
        shutil.rmtree(folder)
    os.replace(aside, folder)
    sync_folder(folder.parent)
    return hashlib.sha256(text.encode()).hexdigest(), sum(entry["size_bytes"] for entry in entries.values())  # type: ignore[misc]


def prune(checkpoints: Path, *, keep: int) -> None:
    """Delete all but the newest ``keep`` finished checkpoints."""
    for step in list_steps(checkpoints)[:-keep]:
        shutil.rmtree(checkpoint_path(checkpoints, step), ignore_errors=True)


def discard_after(checkpoints: Path, step: int) -> None:
    """Delete checkpoints of later steps: a resume from ``step`` makes its own, and they must not be mixed up."""
    for later in (found for found in list_steps(checkpoints) if found > step):
        shutil.rmtree(checkpoint_path(checkpoints, later), ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
