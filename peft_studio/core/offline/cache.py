"""What was fetched before, and how old it is: one file a key, replaced at once, the longest unused dropped first.

It can be deleted at any time. A file that is damaged, or cannot be opened with the key at hand, counts as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peft_studio.core.errors import NotCached, StudioError
from peft_studio.core.offline.sealed import SealBroken, seal, unseal
from peft_studio.core.system import write_aside
from peft_studio.core.words import age

MOST_BYTES = 64 * 2**20
MOST_HEAD_BYTES = 2**16
AHEAD_S = 60.0  # a value this far from the future was fetched under a clock that was wrong: its age is not known


@dataclass(frozen=True, slots=True)
class Cached:
    """A value and its age.

    Attributes:
        stale: Whether it is older than was asked for: shown because nothing newer could be had, and ``why``.
        age_s: When it was looked up; None when the clock says that it comes from the future.
    """

    value: Any
    fetched_at: datetime
    age_s: float | None
    stale: bool = False
    why: str = ""

    @property
    def as_of(self) -> str:
        """``just now``, ``as of 3 h ago``, and why not newer."""
        when = "of unknown age" if self.age_s is None else "just now" if self.age_s < 10 else f"as of {age(self.age_s)}"
        return f"{when} ({self.why})" if self.why else when


class Cache:
    """JSON values by key, shared by any number of processes.

    Args:
        folder: Made on first use.
        key: 32 bytes, for values that are kept sealed.
        most_bytes: Of all files together, about.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        key: bytes | None = None,
        most_bytes: int = MOST_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._key, self._most_bytes, self._now = key, most_bytes, now
        self._room_bytes = 0  # what may be written before the folder is looked through again
        self._lock = threading.Lock()

    def fetch(
        self, key: str, *, fetch: Callable[[], Any], max_age_s: float, offline: object = False, sealed: bool = False
    ) -> Cached:
        """The value at hand if it is young enough, else a new one; an older one when there is no network or fetching fails.

        Args:
            fetch: Gets a new value: JSON. A StudioError or OSError of it is told in ``why`` when there is an older value.
            offline: A reason not to fetch, or something false.
            sealed: Keep it encrypted.

        Raises:
            NotCached: Offline, and there is none. What ``fetch`` raises, where there is none.
        """
        known = self.find(key)
        if known and known.age_s is not None and known.age_s <= max_age_s:
            return known
        if offline:
            why = f"offline: {offline}" if isinstance(offline, str) else "offline"
            if known is None:
                raise NotCached(
                    f"{key} was never fetched here, and you are {why}.", hint="Connect to the network once."
                )
            return _older(known, why)
        try:
            value = fetch()
        except (StudioError, OSError) as exc:
            if known is None:
                raise
            return _older(known, exc.message if isinstance(exc, StudioError) else str(exc))
        with contextlib.suppress(OSError):  # no room on the disk: the value is there all the same
            self.save(key, value, sealed=sealed)
        return Cached(value, datetime.fromtimestamp(self._now(), UTC), 0.0)

    def find(self, key: str) -> Cached | None:
        """The value at hand, whatever its age."""
        path = self._path(key)
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            facts = json.loads(head)
            if facts["key"] != key or facts["sha256"] != hashlib.sha256(body).hexdigest():
                return None
            if facts["sealed"]:
                body = unseal(self._key, body, f"cache\0{key}") if self._key else b""
            value, fetched_at = json.loads(body), datetime.fromtimestamp(facts["fetched_at"], UTC)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, SealBroken):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used now
        age_s = self._now() - facts["fetched_at"]
        return Cached(value, fetched_at, max(0.0, age_s) if age_s > -AHEAD_S else None)

    def save(self, key: str, value: Any, *, sealed: bool = False) -> None:
        """Keep a value, of now.

        Raises:
            OSError: The disk does not take it.
        """
        body = json.dumps(value, allow_nan=False).encode()
        if sealed:
            if self._key is None:
                raise ValueError("a cache without a key seals nothing")
            body = seal(self._key, body, f"cache\0{key}")
        facts = {"key": key, "fetched_at": self._now(), "sealed": sealed, "sha256": hashlib.sha256(body).hexdigest()}
        content = json.dumps(facts).encode() + b"\n" + body
        if len(content) > self._most_bytes // 4:
            return  # it would push out too much of the rest
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            write_aside(self._path(key), content)
            self._room_bytes -= len(content)
            if self._room_bytes < 0:
                self._room_bytes = self._make_room()

    def forget(self, key: str) -> None:
        """Drop one value."""
        self._path(key).unlink(missing_ok=True)

    def forget_under(self, prefix: str) -> None:
        """Drop every value whose key begins so. Reads the head of each file."""
        for path, _ in self._files():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                with path.open("rb") as file:
                    key = json.loads(file.readline(MOST_HEAD_BYTES))["key"]
                if key.startswith(prefix):
                    path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop all values."""
        for path, _ in self._files():
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process may be at it too
                    found.append((Path(entry.path), entry.stat()))
        return found

    def _make_room(self) -> int:
        """Drop what was not used for longest until a tenth is free; returns how much may be written before the next look."""
        files = sorted(self._files(), key=lambda one: one[1].st_mtime_ns)
        size = sum(stat.st_size for _, stat in files)
        goal = self._most_bytes if size <= self._most_bytes else self._most_bytes * 9 // 10
        for path, stat in files:
            if size <= goal:
                break
            path.unlink(missing_ok=True)
            size -= stat.st_size
        return (self._most_bytes - size) // 4  # other processes write too


def _older(known: Cached, why: str) -> Cached:
    return Cached(known.value, known.fetched_at, known.age_s, stale=True, why=why)
