"""What the Publish panel reads: runs with an adapter, registries and how they stand, the record, the outbox. For one thread at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.entry import Entry
from peft_studio.core.ports.platform import Account, Capability, ConnectorInfo, Role
from peft_studio.core.services.connection_list import Connection
from peft_studio.widgets._host import Host
from peft_studio.widgets._publish_view import fold_record, view_target

if TYPE_CHECKING:
    from peft_studio.core.runs.index import RunRow

_AGAIN_S = 5.0  # runs end, and keystores come and go, although no file of ours changes
_FILES = (
    "publications.jsonl",
    "connections.json",
    "connectors.json",
    "outbox/outbox.sqlite",
    "outbox/outbox.sqlite-wal",
)
_RUNS = 200

Section = dict[str, Any]


class PublishSource:
    """Everything as it was last read. Any thread may ask; one reads at a time.

    Attributes:
        rows: Runs that have an adapter, newest first.
        targets: Registries as the page shows them.
        infos, accounts: What stands behind those, by name.
        record: Publications by id, oldest first.
        waiting: Uploads in the outbox.
    """

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self.rows: list[RunRow] = []
        self.targets: list[Section] = []
        self.infos: Mapping[str, ConnectorInfo] = {}
        self.accounts: Mapping[str, Account] = {}
        self.record: Mapping[str, Section] = {}
        self.waiting: list[Entry] = []
        self.has_looked = False
        self._reasons: dict[str, str] = {}  # why a connector cannot publish, empty where it can: its class is read once
        self._reading = threading.Lock()
        self._looked_at, self._seen = 0.0, None  # on the monotonic clock; what the files were then

    @property
    def is_due(self) -> bool:
        """Whether reading again may show something new."""
        return time.monotonic() - self._looked_at > _AGAIN_S or self._mark() != self._seen

    def look(self) -> None:
        """Read everything. One thread at a time."""
        with self._reading:
            mark = self._mark()
            self.rows = self._find_rows()
            self._read_targets()
            self.record = fold_record(self._studio.publications())
            self.waiting = self._find_waiting()
            self.has_looked = True
            self._looked_at, self._seen = time.monotonic(), mark

    def find_row(self, run_id: str | None) -> RunRow | None:
        """A run with an adapter; None where it has none."""
        return next((row for row in self.rows if row.id == run_id), None)

    def find_entry(self, push_id: str) -> Entry | None:
        """What waits of a push. Its entry has another id where the same was queued before: then what is in it tells."""
        return next((one for one in self.waiting if push_id in (one.id, _push_of(one))), None)

    def _find_rows(self) -> list[RunRow]:
        completed, stopped = (self._studio.runs(status=state, limit=_RUNS).rows for state in ("completed", "stopped"))
        found = [row for row in (*completed, *stopped) if row.has_adapter]
        return sorted(found, key=lambda row: (row.created_at, row.id), reverse=True)

    def _read_targets(self) -> None:
        infos = {info.name: info for info in self._studio._catalog.list_infos(Role.REGISTRY)}
        known: dict[str, Connection] = {one.name: one for one in self._studio.connections()}
        self.targets = [view_target(info, known.get(name), self._reason(info)) for name, info in infos.items()]
        self.infos = infos
        self.accounts = {one.name: one.account for one in known.values() if one.account is not None}

    def _reason(self, info: ConnectorInfo) -> str:
        if info.name not in self._reasons:
            try:
                self._reasons[info.name] = self._studio._catalog.find_reason(info.name, Capability.PUBLISH)
            except StudioError as exc:  # it cannot be loaded, say
                return exc.message
        return self._reasons[info.name]

    def _find_waiting(self) -> list[Entry]:
        """An outbox that was never used is not opened: that would make a key."""
        if not (self._studio.home / "outbox").exists():
            return []
        try:
            return [entry for entry in self._studio.outbox if entry.kind == "upload"]
        except StudioError:  # the vault is locked: the Connect panel says so
            return []

    def _mark(self) -> Any:
        """Changes whenever something was written, by this process or another."""
        return tuple(self._time(name) for name in _FILES)

    def _time(self, name: str) -> int:
        try:
            return (self._studio.home / name).stat().st_mtime_ns
        except OSError:
            return 0


def _push_of(entry: Entry) -> str:
    upload = entry.payload.get("upload") if isinstance(entry.payload, dict) else None
    return str(upload.get("id")) if isinstance(upload, dict) else ""


def title_of(row: RunRow) -> str:
    """What people call a run: its name, else when it began."""
    return row.name or f"{datetime.fromtimestamp(row.created_at, UTC):%d %b %H:%M}"
