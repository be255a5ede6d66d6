"""The store on disk with the simulator's boundaries around its writes. SQLite commits whole or not at all; a kill in the middle of a commit is
tried with real processes elsewhere (``tests/unit/core/offline/test_kills.py``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.sqlite_store import SqliteStore

WRITES = frozenset(
    {"put", "claim", "write", "release", "wish_end", "wish_price", "wish_moved", "wish_idle", "wish_took", "wish_fetching", "reopen", "add_readings", "add_bills", "set_strays"}
)  # fmt: skip


class DiskStore:
    """A file that outlives the processes that use it, each of which would have a connection of its own."""

    def __init__(self, folder: Path, tag: str, cross: Callable[[str], None]) -> None:
        self._store, self._cross = SqliteStore(folder), cross
        self.full: Callable[[], bool] = lambda: False
        with self._store.file.writing() as db:
            db.execute("UPDATE home SET tag = ?", (tag,))

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name not in WRITES:
            return real

        def write(*args: Any, **known: Any) -> Any:
            if (
                name == "set_strays"
                and [one for one in self._store.list_strays() if one.provider == args[0]] == args[1]
            ):
                return None
            self._cross(f"store.{name} before")
            if self.full():
                raise RentError("the disk is full")
            answer = real(*args, **known)
            self._cross(f"store.{name} after")
            return answer

        return write
