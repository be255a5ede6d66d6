"""The home's runs: their folders, and an SQLite index over them that can be deleted at any time.

The index holds what a list of runs shows, so that 100,000 runs need not be read to list 50. Agents refresh their own row as they go;
whoever lists refreshes rows of runs that are not finished, and adds folders the index has not seen.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from peft_studio.core.errors import RunNotFound, SpecError
from peft_studio.core.ids import is_run_id, new_run_id
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter, read_events
from peft_studio.core.runs.metrics import Row, read_metrics
from peft_studio.core.runs.state import TERMINAL, RunState, fold
from peft_studio.core.runs.watch import current_standing
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import is_locked, sync_folder, write_private


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of a list of runs. Times in seconds since 1970; None where nothing is known yet."""

    id: str
    name: str
    state: str
    model: str
    method: str
    provider: str
    created_at: float
    last_at: float
    step: int | None
    total_steps: int | None
    loss: float | None
    eval_loss: float | None


COLUMNS = tuple(column.name for column in fields(RunRow))


class RunStore:
    """The runs of one home. Any number of processes may open the same home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runs = home / "runs"
        self.runs.mkdir(parents=True, exist_ok=True)

    def create(self, spec: RunSpec) -> RunFolder:
        """Make the folder of a new run, durably: spec and first event are on disk when this returns. Nothing is started."""
        folder = RunFolder(self.runs / new_run_id())
        folder.path.mkdir(mode=0o700)
        write_private(folder.spec, spec.to_json())
        log = EventLogWriter(folder.events)
        log.append(ev.Created(name=spec.name), durable=True)
        log.close()
        sync_folder(folder.path)
        sync_folder(self.runs)
        self.refresh(folder)
        return folder

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run.

        Raises:
            RunNotFound: No such run here.
        """
        path = self.runs / run_id
        if not is_run_id(run_id) or not path.is_dir():
            raise RunNotFound(
                f"There is no run {run_id!r} in {self.home}.", hint="studio.runs() lists the runs of this home."
            )
        return RunFolder(path)

    def refresh(self, folder: RunFolder, state: RunState | None = None, tail: Sequence[Row] | None = None) -> RunRow:
        """Write a run's row and return it. State and last metrics rows are read from the folder unless the caller has them."""
        state = state or fold(read_events(folder.events))
        row = build_row(folder, state, read_metrics(folder.metrics) if tail is None else tail)
        with self._index() as index:
            index.execute(_PUT, tuple(asdict(row).values()))
        return row

    def forget(self, run_id: str) -> None:
        """Take a run off the index, after its folder is gone."""
        with self._index() as index:
            index.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def list_rows(
        self,
        *,
        status: str | None = None,
        provider: str | None = None,
        since_at: float | None = None,
        text: str = "",
        limit: int = 50,
    ) -> list[RunRow]:
        """Runs that match, newest first. Rows of unfinished runs are brought up to date before they are filtered."""
        self._catch_up()
        where, values = ["1"], list[object]()
        for column, value in (("state", status), ("provider", provider)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if since_at is not None:
            where.append("created_at >= ?")
            values.append(since_at)
        if text:
            where.append("(id || ' ' || name || ' ' || model || ' ' || method) LIKE ? ESCAPE '\\'")
            values.append("%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        query = f"SELECT {', '.join(COLUMNS)} FROM runs WHERE {' AND '.join(where)} ORDER BY created_at DESC, id DESC LIMIT ?"  # noqa: S608  column names are ours
        with self._index() as index:
            return [RunRow(*row) for row in index.execute(query, (*values, limit))]

    def _catch_up(self) -> None:
        """Add folders the index lacks, drop rows whose folder is gone, refresh unfinished rows that no living agent keeps fresh."""
        with self._index() as index:
            known = dict(index.execute("SELECT id, state FROM runs"))
        there = {entry.name for entry in self.runs.iterdir() if is_run_id(entry.name)}
        unsure = (RunFolder(self.runs / run_id) for run_id in there if known.get(run_id) not in TERMINAL)
        # Rows are built before the index is held: reading folders takes long, and agents want to write meanwhile.
        rows = [row for folder in unsure if (row := _look(folder, listed=folder.id in known))]
        if not rows and known.keys() <= there:
            return
        with self._index() as index:
            index.execute("BEGIN IMMEDIATE")
            index.executemany("DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in known.keys() - there])
            index.executemany(_PUT, [tuple(asdict(row).values()) for row in rows])
            index.execute("COMMIT")

    @contextlib.contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        path = self.home / "index.sqlite"
        try:
            index = _open_index(path)
        except sqlite3.OperationalError:
            raise  # locked, or no room: the file itself is sound
        except sqlite3.DatabaseError:  # damaged, or no database: it is only an index
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            index = _open_index(path)
        with contextlib.closing(index):
            yield index


def _look(folder: RunFolder, *, listed: bool) -> RunRow | None:
    """A run's row as its folder stands; None when its agent keeps it fresh, or when the folder cannot be read."""
    if listed and is_locked(folder.agent_lock):
        return None
    try:
        return build_row(folder, fold(read_events(folder.events)), read_metrics(folder.metrics))
    except (
        OSError,
        ValueError,
        SpecError,
    ):  # being made or deleted, damaged, or of a newer version: not the others' fault
        return None


def _open_index(path: Path) -> sqlite3.Connection:
    index = sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        index.execute("PRAGMA journal_mode=WAL")
        index.execute("PRAGMA synchronous=NORMAL")  # rows that a power cut takes are built again
        index.execute(_SCHEMA)
    except sqlite3.Error:
        index.close()
        raise
    return index


def build_row(folder: RunFolder, state: RunState, rows: Sequence[Row]) -> RunRow:
    """A run's line in the list. ``rows`` are its metrics, or the last few of them."""
    spec = folder.load_spec()
    loss = next((row.values["loss"] for row in reversed(rows) if "loss" in row.values), None)
    return RunRow(
        id=folder.id, name=state.name or spec.name, state=current_standing(folder, state, now=time.time()).state,
        model=spec.model, method=spec.method, provider="local", created_at=state.created_at, last_at=state.last_at,
        step=rows[-1].step if rows else None, total_steps=state.plan.total_steps if state.plan else None,
        loss=loss, eval_loss=state.evaluations[-1].loss if state.evaluations else None,
    )  # fmt: skip


_PUT = f"INSERT OR REPLACE INTO runs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  names are ours
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY, name TEXT, state TEXT, model TEXT, method TEXT, provider TEXT, created_at REAL, last_at REAL,
  step INTEGER, total_steps INTEGER, loss REAL, eval_loss REAL
)"""
