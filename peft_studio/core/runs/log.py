"""The event log on disk: one JSON object a line, appended by one writer, read by anyone at any time.

An append is one ``write`` call, so a killed writer leaves at most one unfinished last line. Readers stop before it; the next writer cuts it off.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from peft_studio.core.runs.append import append_whole
from peft_studio.core.runs.events import Event, parse_event
from peft_studio.core.system import open_private


class EventLogWriter:
    """Appends events, giving each its number and time. Only the process that holds the run's agent lock may have one."""

    def __init__(self, path: Path, *, job: int = 1) -> None:
        self._fd = open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.job = job
        self.last_seq = 0
        whole = 0
        for line, end in _whole_lines(path, 0):
            self.last_seq, whole = json.loads(line)["seq"], end
        os.ftruncate(self._fd, whole)

    def append(self, event: Event, *, durable: bool = False) -> Event:
        """Write one event and return it with ``seq``, ``at`` and ``job`` filled in. ``durable`` also survives a power cut."""
        numbered = event.model_copy(update={"seq": self.last_seq + 1, "at": time.time(), "job": self.job})
        append_whole(self._fd, numbered.model_dump_json().encode() + b"\n")
        self.last_seq += 1
        if durable:
            os.fsync(self._fd)
        return numbered

    def copy(self, event: Event, *, durable: bool = False) -> bool:
        """Write an event of another log as it stands there, the next in number; False where it is here already.

        Raises:
            ValueError: Events before it are missing.
        """
        if event.seq <= self.last_seq:
            return False
        if event.seq != self.last_seq + 1:
            raise ValueError(f"event {event.seq} cannot follow event {self.last_seq}")
        append_whole(self._fd, event.model_dump_json().encode() + b"\n")
        self.last_seq, self.job = event.seq, event.job
        if durable:
            os.fsync(self._fd)
        return True

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class EventLogReader:
    """Follows a log from where it stopped last time. ``read()`` returns what is new; it never waits."""

    def __init__(self, path: Path, *, after: int = 0) -> None:
        self._path = path
        self._offset = 0
        self._after = after

    def read(self) -> list[Event]:
        """New events, in order. An unfinished last line is left for the next call."""
        found = []
        for line, end in _whole_lines(self._path, self._offset):
            self._offset = end
            event = parse_event(json.loads(line))
            if event.seq > self._after:
                found.append(event)
        return found


def read_events(path: Path, *, after: int = 0) -> list[Event]:
    """All events in the log with a number above ``after``."""
    return EventLogReader(path, after=after).read()


def _whole_lines(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Each finished line from ``offset`` on, with the offset behind it. A missing file has none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line, offset
