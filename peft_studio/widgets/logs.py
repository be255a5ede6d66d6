"""The Logs panel: what runs say, as they say it, by run, level and text. Warnings of rules and failures are lines too."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from html import escape
from pathlib import Path
from typing import Any

from peft_studio.core.errors import StudioError, nearest
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.index import RunRow
from peft_studio.core.runs.lines import LEVELS
from peft_studio.core.runs.store import RunStore
from peft_studio.core.system import is_locked
from peft_studio.widgets._code import opening
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._log_source import LogSource
from peft_studio.widgets._text import plain

ALL = "all"  # instead of a run's id
_RUNS = 20  # the newest ones: those that are offered, and those that "all" means
_LIVE_S, _QUIET_S = 0.1, 1.0
_PATIENCE_S = 1.0  # so that the first update has the lines; very long logs may take longer
_LIST_S = 5.0  # how soon a run that somebody else has started joins the list


class LogsContent(Content):
    """Lines of the session's run, of another one, or of all."""

    module = "logs"
    interval_s = 0.05  # until the first lines are there

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._store = RunStore(studio.home)
        self._wanted, self._level, self._text = "", "info", ""  # no run: the one that the session has chosen
        self._rows: list[RunRow] = []
        self._listed_at = -_LIST_S  # on the monotonic clock
        self._followed: tuple[str, ...] | None = None
        self._mode: bool | None = None  # whether all runs were followed when last read
        self._source, self._sent, self._told = LogSource(), 0, 0
        self._announced: LogSource | None = None  # the one that the page was last told of
        self._reading = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="peft-studio-logs")
        self._going: Future[None] | None = self._pool.submit(self._read)
        wait([self._going], timeout=_PATIENCE_S)

    def __repr__(self) -> str:
        return "LogsPanel()"

    def sections(self) -> dict[str, Any]:
        """What is filtered, how many lines it hides, and the runs to choose from. Reading goes on beside it."""
        if self._going and self._going.done():
            done, self._going = self._going, None
            done.result()
        if self._going is None:
            self._going = self._pool.submit(self._read)
        if self._followed is None:
            return {}
        with self._reading:
            self._announced, self._told = self._source, self._source.count
            folders = [self._folder(run_id) for run_id in self._followed]
            self.interval_s = _LIVE_S if any(is_locked(folder.agent_lock) for folder in folders) else _QUIET_S
            return {
                "asked": {"run": self._wanted, "level": self._level, "text": self._text},
                "runs": [{"id": row.id, "name": plain(row.name, limit=200) or row.id} for row in self._rows],
                "shown": None if self._wanted == ALL or not self._followed else self._name(self._followed[0]),
                "counts": {**self._source.counts(), "read": self._source.count},
                "hidden": self._source.hidden(self._level, self._text),
                "levels": list(LEVELS),
                "code": logs_code(self._studio.home, self._wanted, self._followed, self._level, self._text),
            }

    def streams(self, *, full: bool) -> tuple[dict[str, Any], list[bytes]]:
        """New lines that pass the filter."""
        with self._reading:
            if self._announced is not self._source:  # another run since the sections were read: they say so first
                return {}, []
            after, upto = 0 if full else self._sent, self._told  # what came after the sections comes with the next
            lines = [line for line in self._source.select(self._level, self._text, after=after) if line["seq"] <= upto]
            self._sent = upto
        return ({"log": lines} if lines or full else {}), []

    def snapshot_html(self) -> str:
        """The last lines."""
        self._read()
        lines = self._source.select(self._level, self._text)[-20:]
        text = "\n".join(f"{line['level']:7} {line['text']}" for line in lines) or "No lines."
        return f"<div>Logs. Snapshot: run this cell to make it live.<pre>{escape(text)}</pre></div>"

    def close(self) -> None:
        """End the reading thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @command
    def filter(self, level: str = "info", text: str = "") -> None:
        """Show lines at or above a level that contain a text."""
        if level not in LEVELS:
            raise StudioError(f"There is no level {level!r}.", hint=nearest(level, LEVELS))
        with self._reading:
            self._level, self._text, self.renewed = level, text, True

    @command
    def choose(self, run: str = "") -> None:
        """Show the lines of one run, of all, or (nothing) of the session's run."""
        with self._reading:
            self._wanted = self._store.folder(run).id if run not in {"", ALL} else run
        self._read()

    def _read(self) -> None:
        """Take in what is new. One thread at a time."""
        with self._reading:
            unknown = self._studio.session.now.run_id not in {None, *(row.id for row in self._rows)}
            if unknown or time.monotonic() - self._listed_at >= _LIST_S:
                self._rows = self._store.list_rows(limit=_RUNS)
                self._listed_at = time.monotonic()
            followed = self._wished()
            if self._must_start_over(followed):
                self._source, self._sent, self.renewed = LogSource(), 0, True
            self._followed = followed
            self._source.follow((self._name(run_id), self._folder(run_id)) for run_id in followed)

    def _wished(self) -> tuple[str, ...]:
        if self._wanted == ALL:
            return tuple(row.id for row in self._rows)
        wanted = self._wanted or self._studio.session.now.run_id or (self._rows[0].id if self._rows else None)
        return (wanted,) if wanted else ()

    def _must_start_over(self, followed: tuple[str, ...]) -> bool:
        """Another run is shown; a new one that joins all the others only adds lines."""
        mode, self._mode = self._mode, self._wanted == ALL
        return mode != self._mode or (not self._mode and followed != self._followed)

    def _name(self, run_id: str) -> str:
        name = next((row.name for row in self._rows if row.id == run_id), "")
        return plain(name, limit=200) or run_id

    def _folder(self, run_id: str) -> RunFolder:
        return RunFolder(self._store.runs / run_id)


def logs_code(home: Path, wanted: str, followed: tuple[str, ...], level: str, text: str) -> str:
    """The Python that gives the same lines."""
    filters = f"level={level!r}" + (f", contains={text!r}" if text else "")
    head = opening(home)
    if wanted == ALL:
        return f"{head}[line for run in studio.runs(limit={_RUNS}) for line in run.logs({filters})]"
    return f"{head}studio.run({followed[0]!r}).logs({filters})" if followed else ""
