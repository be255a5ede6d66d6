"""The one writer of a run's event log: appends, folds the state, keeps the index row fresh, wakes whoever streams."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import time

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter, read_events
from peft_studio.core.runs.metrics import MetricsReader, Row
from peft_studio.core.runs.state import RunState, fold
from peft_studio.core.runs.store import RunStore

INDEX_S = 2.0  # the index row of a live run is at most this old
RESERVE_BYTES = 2**18  # room for the events that say that the disk is full
FULL = (errno.ENOSPC, errno.EDQUOT)
DURABLE = ("created", "job_started", "checkpoint", "adapter", "stop_requested", "finished")


class Journal:
    """Events in, state out. Used from the agent's event loop only."""

    def __init__(self, folder: RunFolder) -> None:
        past = read_events(folder.events)
        self.state: RunState = fold(past)
        started_before = any(isinstance(event, ev.JobStarted) for event in past)
        self._log = EventLogWriter(folder.events, job=self.state.job + started_before)
        self._folder = folder
        self._reserve = folder.path / ".reserve"
        with contextlib.suppress(OSError):
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
        self._store = RunStore(folder.home)
        # A resumed run's row may say "failed"; should we die before our first event, a list must look for itself.
        with contextlib.suppress(sqlite3.Error):
            self._store.forget(folder.id)
        self._metrics = MetricsReader(folder.metrics)
        self._tail: list[Row] = []
        self._indexed_at = 0.0
        self.changed = asyncio.Event()

    def append(self, event: ev.Event) -> ev.Event:
        """Write one event, synced where losing it would mislead. On a full disk the reserve is given up for it."""
        try:
            event = self._log.append(event, durable=event.type in DURABLE)
        except OSError as exc:
            if exc.errno not in FULL or not self._reserve.exists():
                raise
            self._reserve.unlink()
            event = self._log.append(event, durable=event.type in DURABLE)
        self._took(event)
        if event.type in {"phase", "finished"}:
            self.index()
        return event

    def _took(self, event: ev.Event) -> None:
        self.state = fold([event], self.state)
        self.changed.set()

    @property
    def last_step(self) -> int:
        """The newest step that :meth:`index` has seen."""
        return self._tail[-1].step if self._tail else 0

    def log(self, level: ev.Level, text: str, *, source: str = "agent") -> None:
        """Append one line of output. A full disk loses lines: what room is left belongs to events."""
        try:
            event = self._log.append(ev.Logged(level=level, text=text, source=source))
        except OSError as exc:
            if exc.errno not in FULL:
                raise
        else:
            self._took(event)

    def index_if_due(self) -> None:
        """Refresh the index row unless that was done a moment ago."""
        if time.monotonic() - self._indexed_at > INDEX_S:
            self.index()

    def index(self) -> None:
        """Refresh the index row. The index can be rebuilt, so a locked or broken one never stops a run."""
        self._indexed_at = time.monotonic()
        self._tail = [*self._tail, *self._metrics.read()][-20:]
        with contextlib.suppress(sqlite3.Error):
            self._store.refresh(self._folder, self.state, self._tail)

    def close(self) -> None:
        """Close the log."""
        self._log.close()
        self._reserve.unlink(missing_ok=True)
