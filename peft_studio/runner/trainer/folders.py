"""Puts a finished folder in its place at once, so that nobody ever sees half a model. Knows nothing of models."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from peft_studio.core.models import ModelFailure
from peft_studio.core.system import sync_folder


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Give an empty folder beside ``target``; when the block ends well, sync it and rename it to ``target``.

    Whatever stood at ``target`` is replaced. When the block raises, the folder is removed and ``target`` is untouched.

    Raises:
        ModelFailure: The disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)  # left by a dead process whose number came round again
    aside.mkdir()
    try:
        yield aside
        for path in sorted(aside.rglob("*")):
            if path.is_file() and not path.is_symlink():
                _sync_file(path)
        sync_folder(aside)
        if target.exists():
            shutil.rmtree(target)
        os.replace(aside, target)
        sync_folder(target.parent)
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise ModelFailure(
                f"The disk is full; {target} was not written.",
                code="disk-full",
                hint="Free some space, or set PEFT_STUDIO_HOME to a folder on another disk.",
            ) from exc
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sync_file(path: Path) -> None:
    path.chmod(0o644)  # safetensors writes 0600, which would hide a shared home's models from other users
    with path.open("r+b") as file:
        os.fsync(file.fileno())
