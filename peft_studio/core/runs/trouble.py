"""What keeps a run's files from being written on this machine, said where its log cannot say it.

In a file that has its room from the beginning, so that it can be written in place when the disk is full.
"""

from __future__ import annotations

import contextlib
import errno
import os

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.system import open_private

ROOM_BYTES = 512
FULL = (errno.ENOSPC, errno.EDQUOT)


def take_room(folder: RunFolder) -> None:
    """Take the room, and forget what was said there."""
    tell_trouble(folder, "")


def tell_trouble(folder: RunFolder, text: str) -> None:
    """Say it; an empty text: it is over. Where even that cannot be written, it is not said."""
    said = text.encode()[:ROOM_BYTES].decode(errors="ignore").encode()
    with contextlib.suppress(OSError):
        fd = open_private(folder.trouble, os.O_WRONLY | os.O_CREAT)
        try:
            os.pwrite(fd, said.ljust(ROOM_BYTES), 0)
        finally:
            os.close(fd)


def read_trouble(folder: RunFolder) -> str:
    """What is said; empty where there is nothing."""
    try:
        return folder.trouble.read_bytes()[:ROOM_BYTES].decode(errors="replace").strip()
    except OSError:
        return ""


def say_disk(exc: Exception, folder: RunFolder) -> str:
    """What a user can do about an error of this machine's disk."""
    if not isinstance(exc, OSError):
        return str(exc)
    if exc.errno in FULL:
        return (
            f"This machine's disk is full: what the run's machine sends cannot be written to {folder.path}."
            " Free some space: it goes on by itself, and nothing is lost as long as its machine lives."
        )
    return (
        f"The run's folder here cannot be read or written: {exc.strerror or exc} ({exc.filename or folder.path})."
        " Look at its permissions: it goes on by itself, and nothing is lost as long as its machine lives."
    )
