"""One append that happens whole or not at all. On a full disk the system may take half a record and only refuse the next one."""

from __future__ import annotations

import errno
import os


def append_whole(fd: int, record: bytes) -> None:
    """Append a record in one ``write``; if the disk takes only a part, cut that off again and raise.

    Raises:
        OSError: The record was not written; the file is as it was.
    """
    written = os.write(fd, record)
    if written < len(record):
        os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {written} of {len(record)} bytes were taken")
