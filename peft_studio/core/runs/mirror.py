"""A run that goes on elsewhere, written down here as it is there: same events, same numbers, in the run's own folder.

So every reader of runs knows it already. One writer per run holds here, too: whoever mirrors has the agent's lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter, read_events
from peft_studio.core.runs.state import RunState, fold
from peft_studio.core.runs.store import RunStore
from peft_studio.core.runs.trouble import take_room
from peft_studio.core.system import open_private

INDEX_S = 2.0
DURABLE = ("machine", "job_started", "checkpoint", "adapter", "stop_requested", "finished")


class Mirror:
    """Writes one run's folder. ``state``: what the log says so far."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        take_room(folder)
        self.state: RunState = fold(read_events(folder.events))
        self._log = EventLogWriter(folder.events, job=self.state.job)
        self._store = RunStore(folder.home)
        self._indexed_at = 0.0

    def say(self, event: ev.Event) -> None:
        """Add an event of our own. Only while no agent elsewhere writes: it goes on from our number."""
        self._took(self._log.append(event, durable=event.type in DURABLE))

    def phase(self, name: str, detail: str = "") -> None:
        """Say that the run has gone on to a phase, unless it is in it."""
        now = self.state.phases[-1] if self.state.phases else None
        if now is None or now.ended_at is not None or (now.phase, self.state.detail) != (name, detail):
            self.say(ev.PhaseEntered(phase=name, detail=detail))

    def take(self, event: ev.Event) -> None:
        """Write an event as it was written there. One that is here already is nothing."""
        # One that was written and not synced, as on a disk with errors, comes again and counts then.
        if self._log.copy(event, durable=event.type in DURABLE) or event.seq > self.state.last_seq:
            self._took(event)

    def take_bytes(self, name: str, offset: int, data: bytes) -> None:
        """Write bytes of ``metrics`` or ``system`` where they stand there."""
        fd = open_private(self.folder.path / name, os.O_RDWR | os.O_CREAT)
        try:
            while data:  # a disk that is nearly full takes a part, and only refuses the next
                written = os.pwrite(fd, data, offset)
                data, offset = data[written:], offset + written
        finally:
            os.close(fd)
        self.beat()

    def size_of(self, name: str) -> int:
        """How much of ``metrics`` or ``system`` is here."""
        path: Path = self.folder.path / name
        return path.stat().st_size if path.exists() else 0

    def beat(self) -> None:
        """A sign of life, and the row of the list of runs brought up to date."""
        with contextlib.suppress(OSError):
            self.folder.heartbeat.touch()
        if time.monotonic() - self._indexed_at > INDEX_S:
            self._index()

    def close(self) -> None:
        """Close the log."""
        self._index()
        self._log.close()

    def _took(self, event: ev.Event) -> None:
        self.state = fold([event], self.state)
        with contextlib.suppress(OSError):
            self.folder.heartbeat.touch()
        if event.type in {"phase", "finished", "machine"}:
            self._index()

    def _index(self) -> None:
        self._indexed_at = time.monotonic()
        with contextlib.suppress(sqlite3.Error, OSError):  # it can be rebuilt
            self._store.refresh(self.folder, self.state)
