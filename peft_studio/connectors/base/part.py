"""The unfinished file of a download: what has arrived, what it is a part of, and how it becomes the file.

Every few megabytes are made durable and digested in a thread beside the one that writes, so neither waits for the other. Knows no HTTP.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
from pathlib import Path
from typing import IO, Any

from peft_studio.core.ports.registry import ModelFile
from peft_studio.core.system import sync_folder, write_private

STEP_BYTES = (
    16 * 2**20
)  # made durable at once, while the next is written: what a power cut can take, not what a kill can
READ_BYTES = 2**20  # gathered before they are written: what a kill can take


class Part:
    """``.name.part`` beside the file that it will be, and its note of size and etag. One process at a time may hold it.

    Raises:
        OSError: From any method, where the disk fails or is full.
    """

    def __init__(self, to: Path, file: ModelFile) -> None:
        self.to, self.file = to, file
        self.path = to.with_name(f".{to.name}.part")
        self._note = to.with_name(f".{to.name}.note")
        note = self._read_note()
        self.total: int | None = note.get("total")
        self.etag: str = note.get("etag", "")
        to.parent.mkdir(parents=True, exist_ok=True)
        self._out = self.path.open("ab", buffering=READ_BYTES)
        if not note:
            self._out.truncate(0)
        self.size = self._flushed = self._out.seek(0, os.SEEK_END)
        self.kept_bytes, self.restarts = self.size, 0
        self._follower = _Follower(self.path, self.size)

    @property
    def is_whole(self) -> bool:
        """Whether all of it has arrived."""
        return self.size == self.total

    def promise(self, total: int | None, etag: str) -> None:
        """Note what the other side says that the whole is, durably before the first byte of it."""
        if (total, etag) == (self.total, self.etag):
            return
        self.total, self.etag = total, etag
        if total is not None:  # without its size nobody could say later how much of it is there
            write_private(self._note, json.dumps({"file": self._identity(), "total": total, "etag": etag}))

    def write(self, piece: bytes) -> None:
        """Append. Waits while the disk is too far behind."""
        self._out.write(piece)
        self.size += len(piece)
        if self.size - self._flushed >= READ_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._out.flush()
        self._flushed = self.size
        self._follower.go_to(self.size)

    def begin_anew(self) -> None:
        """Forget what has arrived."""
        self._follower.end(whole=False)
        self._note.unlink(missing_ok=True)
        self._out.flush()
        self._out.truncate(0)
        self.restarts += 1
        self.size = self._flushed = self.kept_bytes = 0
        self.total, self.etag = None, ""
        self._follower = _Follower(self.path, 0)

    def digest(self, kind: str) -> str:
        """The digest of all that is there, by ``sha256`` or, for git's own name of it, ``blob``."""
        self._flush()
        found = self._follower.end()
        if kind == "sha256":
            return found
        digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with self.path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                digest.update(piece)
        return digest.hexdigest()

    def become(self) -> None:
        """Be the file: durably, and at once for whoever looks."""
        self._flush()
        self._follower.end()
        os.fsync(self._out.fileno())
        self._out.close()  # Windows renames no open file
        os.replace(self.path, self.to)
        sync_folder(self.to.parent)
        self._note.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it; what has arrived stays for the next try."""
        self._follower.end(whole=False)
        if not self._out.closed:
            self._out.close()

    def _identity(self) -> list[Any]:
        return [self.file.path, self.file.sha256, self.file.blob_id]

    def _read_note(self) -> dict[str, Any]:
        """What an earlier try noted; nothing where it was after another content, or cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            note = json.loads(self._note.read_text(encoding="utf-8"))
            if isinstance(note, dict) and note.get("file") == self._identity() and isinstance(note.get("total"), int):
                return note
        return {}


class _Follower:
    """Syncs and digests what is written to a file, behind the one that writes. Begun on a part that is there, it digests that, too."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._written = self._synced = size
        self._digested = 0
        self._over = self._abandoned = False
        self._error: OSError | None = None
        self._moved = threading.Condition()
        self._digest = hashlib.sha256()
        self._thread = threading.Thread(target=self._run, name=f"follow-{path.name}", daemon=True)
        self._thread.start()

    def go_to(self, size: int) -> None:
        """So much is written. Waits while too much of it is not durable."""
        with self._moved:
            due = size // STEP_BYTES > self._written // STEP_BYTES
            self._written = size
            if due:
                self._moved.notify_all()
                self._moved.wait_for(lambda: self._error or self._written - self._synced <= STEP_BYTES + READ_BYTES)
            if self._error:
                raise self._error

    def end(self, *, whole: bool = True) -> str:
        """Digest what is left and return the digest; with ``whole`` False leave it."""
        with self._moved:
            self._over, self._abandoned = True, self._abandoned or not whole
            self._moved.notify_all()
        self._thread.join()
        if self._error and whole:
            raise self._error
        return self._digest.hexdigest()

    def _run(self) -> None:
        try:
            with self._path.open("r+b", buffering=0) as file:
                self._follow(file)
        except OSError as exc:
            with self._moved:
                self._error = exc
                self._moved.notify_all()

    def _follow(self, file: IO[bytes]) -> None:
        buffer = memoryview(bytearray(READ_BYTES))
        while True:
            with self._moved:
                self._moved.wait_for(self._is_due)
                written, over, synced = self._written, self._over, self._synced
            if self._abandoned or (over and self._digested == written):
                return
            if written - synced >= STEP_BYTES:
                _sync(file.fileno())
                with self._moved:
                    self._synced = written
                    self._moved.notify_all()
            self._read_on(file, buffer, min(written, self._digested + STEP_BYTES))

    def _is_due(self) -> bool:
        return self._over or self._written - min(self._digested, self._synced) >= STEP_BYTES

    def _read_on(self, file: IO[bytes], buffer: memoryview, to: int) -> None:
        while self._digested < to:
            read = file.readinto(buffer[: min(READ_BYTES, to - self._digested)])  # type: ignore[attr-defined]
            if not read:
                raise OSError(errno.EIO, "the part has become shorter while it was written")
            self._digest.update(buffer[:read])
            self._digested += read


_sync = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have no cheaper one


def free_bytes(folder: Path) -> int:
    """Room on the disk that a folder is, or will be, on."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def is_full(exc: OSError) -> bool:
    """Whether an error of the disk means that it, or this user's share of it, is full."""
    return exc.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
