"""What the Connect panel reads: platforms, the vault's tier, the network, the outbox. For one thread at a time."""

from __future__ import annotations

import threading
import time
from typing import Any

from peft_studio.core.errors import StudioError
from peft_studio.core.offline.entry import Entry
from peft_studio.widgets._connect_view import (
    view_entry,
    view_platform,
    view_problem,
    view_refused,
    view_tier,
)
from peft_studio.widgets._host import Host
from peft_studio.widgets._text import plain

_AGAIN_S = 30.0  # a keystore comes and goes although no file of ours changes
_FILES = ("connections.json", "connectors.json", "vault/vault.sealed", "outbox/outbox.sqlite")

Section = dict[str, Any]


class ConnectSource:
    """Sections as they were last read. Any thread may ask; one reads at a time."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self.sections: Section = {}
        self.problems: dict[str, Section] = {}  # by platform: what its last try here came to, while it failed
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
            self.sections = {
                "platforms": self._platforms(),
                "tier": view_tier(self._studio.vault.tier),
                "outbox": self._outbox(),
            }
            self._looked_at, self._seen = time.monotonic(), mark

    def network(self) -> Section:
        """Whether there is one, said by hand or found out. Costs nothing."""
        known = self._studio._connectivity
        offline = known.offline
        return {
            "offline": offline is not False,
            "reason": plain(offline) if isinstance(offline, str) else "",
            "by_hand": known.is_by_hand,
        }

    def _platforms(self) -> list[Section]:
        found = {one.name: one for one in self._studio.connections()}
        catalog = self._studio._catalog
        shown = [
            view_platform(info, found.pop(info.name, None), self.problems.get(info.name))
            for info in catalog.list_infos()
        ]
        hidden = [view_platform(info, None, None) for info in catalog.list_hidden()]
        return [*shown, *map(view_refused, found.values()), *hidden]

    def _outbox(self) -> Section:
        """What is in it. One that was never used is not opened: that would make a key."""
        if not (self._studio.home / "outbox").exists():
            return {"summary": "Nothing waits.", "entries": [], "more": 0, "problem": None}
        try:
            view = self._studio.outbox
        except StudioError as exc:  # the vault is locked, say
            return {"summary": "", "entries": [], "more": 0, "problem": view_problem(exc)}
        # What needs somebody comes first.
        entries: list[Entry] = sorted(view, key=lambda entry: (entry.state != "dead", entry.seq))
        summary, more = plain(view.summary.replace("; see studio.outbox", "")), view.total - len(entries)
        return {"summary": summary, "entries": list(map(view_entry, entries)), "more": more, "problem": None}

    def _mark(self) -> Any:
        """Changes whenever something was written, by this process or another, and when this one locks or unlocks the vault."""
        return (self._studio.vault.turns, *map(self._time, _FILES))

    def _time(self, name: str) -> int:
        try:
            return (self._studio.home / name).stat().st_mtime_ns
        except OSError:
            return 0
