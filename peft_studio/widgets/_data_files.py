"""Files for the Data panel: what lies in a folder of the kernel's machine, and files that a browser sends in pieces."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from peft_studio.core.data.open_source import ENDINGS
from peft_studio.core.errors import DataError
from peft_studio.widgets._text import plain

MOST_UPLOAD_BYTES = 200_000_000  # it goes through the notebook's connection; larger files are better copied
MOST_PIECE_BYTES = 1_000_000
_MOST_ENTRIES = 500
_STALE_S = 3600.0  # a piece that comes so much later than the one before it belongs to a page that is gone


def list_folder(folder: str | None) -> dict[str, Any]:
    """Folders and data files in a folder, the kernel's own when none is named: names and sizes, nothing of what is inside.

    Raises:
        DataError: It is no folder, or may not be read.
    """
    path = (Path(folder).expanduser() if folder else Path.cwd()).resolve()
    try:
        entries = [entry for entry in os.scandir(path) if not entry.name.startswith(".")]
        listed = [one for entry in entries if (one := _entry(entry))]
    except OSError as exc:
        raise DataError(f"{path} cannot be listed: {exc.strerror or exc}.", hint="Type another path.") from exc
    listed.sort(key=lambda one: (one["bytes"] is not None, one["name"].lower()))
    parent = str(path.parent) if path.parent != path else None
    return {
        "folder": plain(str(path)), "parent": parent, "entries": listed[:_MOST_ENTRIES],
        "more": max(0, len(listed) - _MOST_ENTRIES),
    }  # fmt: skip


def _entry(entry: os.DirEntry[str]) -> dict[str, Any] | None:
    """None for what is no folder and no data file, such as a link to nothing.

    A name that a page cannot show as it is has no path: it cannot be chosen by clicking.
    """
    folder = os.path.isdir(entry.path)
    if not folder and not (Path(entry.name).suffix.lower() in ENDINGS and os.path.isfile(entry.path)):
        return None
    size = None if folder else entry.stat().st_size
    name = plain(entry.name, limit=300)
    return {"name": name, "path": entry.path if name == entry.name else None, "bytes": size}


class Uploads:
    """Files on their way from a browser, one at a time a token. Whole ones are kept as ``<sha256>-<name>`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, _Upload] = {}

    def begin(self, name: str, size: int) -> str:
        """Get ready for a file of this size; returns its token.

        Raises:
            DataError: It is too large, or no data file by its name.
        """
        if Path(name).suffix.lower() not in ENDINGS:
            raise DataError(f"{plain(name, limit=200)} is no data file.", hint=f"Known endings: {', '.join(ENDINGS)}.")
        if size > MOST_UPLOAD_BYTES:
            raise DataError(
                f"{plain(name, limit=200)} has {size / 1e6:,.0f} MB; at most {MOST_UPLOAD_BYTES // 1_000_000} MB can be dropped here.",
                hint="Copy it to the machine that the kernel runs on, with JupyterLab's file browser or scp, and type its path.",
            )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            for token in [token for token, one in self._open.items() if time.monotonic() - one.at > _STALE_S]:
                self._open.pop(token).drop()
            upload = _Upload(self._folder, name, size)
            self._open[upload.token] = upload
        return upload.token

    def add(self, token: str, at: int, data: str) -> int:
        """Take the next piece, as base64; ``at`` is where it begins. Returns the bytes there are now."""
        with self._lock:
            return self._get(token).add(at, data)

    def end(self, token: str) -> Path:
        """The whole file, under its digest."""
        with self._lock:
            upload = self._get(token)
            del self._open[token]
            return upload.keep(self._folder)

    def close(self) -> None:
        """Drop what has not come whole."""
        with self._lock:
            for upload in self._open.values():
                upload.drop()
            self._open.clear()

    def _get(self, token: str) -> _Upload:
        if token not in self._open:
            raise DataError("This file is no longer being sent.", hint="Drop it again.")
        return self._open[token]


class _Upload:
    """One file that is coming, written beside those that came."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        handle, path = tempfile.mkstemp(dir=folder, prefix=".upload-", suffix=".tmp")
        self._file = os.fdopen(handle, "wb")
        self._path, self._name, self._size = Path(path), name, size
        self._digest = hashlib.sha256()
        self._bytes = 0
        self.token = self._path.name
        self.at = time.monotonic()

    def add(self, at: int, data: str) -> int:
        try:
            piece = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise DataError("A piece of the file came damaged.", hint="Drop the file again.") from exc
        if at != self._bytes or len(piece) > MOST_PIECE_BYTES or self._bytes + len(piece) > self._size:
            raise DataError("The pieces of the file do not fit together.", hint="Drop the file again.")
        self._file.write(piece)
        self._digest.update(piece)
        self._bytes += len(piece)
        self.at = time.monotonic()
        return self._bytes

    def keep(self, folder: Path) -> Path:
        self._file.close()
        if self._bytes != self._size:
            self.drop()
            raise DataError("The file did not come whole.", hint="Drop it again.")
        path = folder / f"{self._digest.hexdigest()}-{safe_name(self._name)}"
        os.replace(self._path, path)
        return path

    def drop(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """A file's name made of letters, digits, dots and dashes, its ending kept."""
    stem, ending = os.path.splitext(re.split(r"[/\\]", name)[-1])
    return (re.sub(r"[^\w.-]+", "_", stem, flags=re.ASCII).strip("._")[:80] or "data") + ending.lower()


def shown_name(path: str) -> str:
    """What a person calls a source: its last part, without the digest that an upload carries in its name."""
    name = Path(path).name or path
    return re.sub(r"^[0-9a-f]{64}-", "", name)
