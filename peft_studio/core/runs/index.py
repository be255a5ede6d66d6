"""The SQLite index over a home's runs: one row a run, asked by filter, order and page. It can be deleted at any time.

Knows nothing of run folders; ``store`` fills it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from peft_studio.core.runs.state import TERMINAL

Column = Literal["created_at", "name", "state", "eval_loss", "time_s"]  # what a list of runs may be ordered by
ORDERS: tuple[str, ...] = get_args(Column)
SAVED = "saved at step"  # how the reason of a stopped run that has an adapter begins


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
    rank: int | None = None
    time_s: float | None = None
    reason: str = ""

    @property
    def has_adapter(self) -> bool:
        """Whether it has saved one: it has completed, or was stopped and saved."""
        return self.state == "completed" or (self.state == "stopped" and self.reason.startswith(SAVED))


COLUMNS = tuple(column.name for column in fields(RunRow))


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, and in which order. What is None does not narrow; runs without the ordering number come last."""

    status: str | None = None
    provider: str | None = None
    since_at: float | None = None
    text: str = ""
    order_by: Column = "created_at"
    descending: bool = True

    def where(self) -> tuple[str, list[object]]:
        """The condition in SQL, and its values."""
        terms, values = ["1"], list[object]()
        for term, value in (
            ("state = ?", self.status), ("provider = ?", self.provider), ("created_at >= ?", self.since_at),
        ):  # fmt: skip
            if value is not None:
                terms.append(term)
                values.append(value)
        if self.text:
            terms.append("(id || ' ' || name || ' ' || model || ' ' || method) LIKE ? ESCAPE '\\'")
            values.append("%" + self.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        return " AND ".join(terms), values

    def order(self) -> str:
        """The order in SQL. Ids decide between equals, so that pages neither repeat nor skip a run."""
        if self.order_by not in ORDERS:
            raise ValueError(f"runs cannot be ordered by {self.order_by!r}")
        way = "DESC" if self.descending else "ASC"
        last = "" if self.order_by == "created_at" else f"{self.order_by} IS NULL, "
        return f"{last}{self.order_by}{' COLLATE NOCASE' if self.order_by == 'name' else ''} {way}, id {way}"


class RunIndex:
    """The index file. Any number of processes may use it at once; a damaged one is made anew, empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = threading.local()

    def put(self, rows: Iterable[RunRow], *, gone: Iterable[str] = (), listed: int | None = None) -> None:
        """Write rows and drop those of runs that are gone, all or nothing; ``listed`` as :meth:`listed` gives it back."""
        with self._open() as index:
            index.execute("BEGIN IMMEDIATE")
            index.executemany("DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in gone])
            index.executemany(_PUT, [astuple(row) for row in rows])
            if listed is not None:
                index.execute("INSERT OR REPLACE INTO marks VALUES ('listed', ?)", (listed,))
            index.execute("COMMIT")

    def states(self) -> dict[str, str]:
        """State by id, of all runs."""
        with self._open() as index:
            return dict(index.execute("SELECT id, state FROM runs"))

    def unfinished(self) -> dict[str, RunRow]:
        """Rows by id, of the runs that have not ended."""
        states = ", ".join(f"'{state}'" for state in sorted(TERMINAL))
        select = f"SELECT {', '.join(COLUMNS)} FROM runs WHERE state NOT IN ({states})"  # noqa: S608  words are ours
        with self._open() as index:
            return {row[0]: RunRow(*row) for row in index.execute(select)}

    def listed(self) -> int | None:
        """When the folder of runs had last changed as its listing was taken in, in nanoseconds; None before the first."""
        with self._open() as index:
            found = index.execute("SELECT value FROM marks WHERE name = 'listed'").fetchone()
        return int(found[0]) if found else None

    def page(self, query: RunQuery, start: int, count: int) -> list[RunRow]:
        """``count`` rows of those that match, from the ``start``-th on."""
        where, values = query.where()
        select = f"SELECT {', '.join(COLUMNS)} FROM runs WHERE {where} ORDER BY {query.order()} LIMIT ? OFFSET ?"  # noqa: S608  names are ours
        with self._open() as index:
            return [RunRow(*row) for row in index.execute(select, (*values, count, start))]

    def find(self, run_id: str) -> RunRow | None:
        """The row of a run."""
        with self._open() as index:
            row = index.execute(f"SELECT {', '.join(COLUMNS)} FROM runs WHERE id = ?", (run_id,)).fetchone()  # noqa: S608  names are ours
        return RunRow(*row) if row else None

    def count(self, query: RunQuery) -> int:
        """How many match."""
        where, values = query.where()
        with self._open() as index:
            return int(index.execute(f"SELECT count(*) FROM runs WHERE {where}", values).fetchone()[0])  # noqa: S608  names are ours

    def providers(self) -> list[str]:
        """Every provider that has a run here."""
        with self._open() as index:
            return [str(row[0]) for row in index.execute("SELECT DISTINCT provider FROM runs ORDER BY provider")]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the questions that this thread asks in the block answered over one opening of the file: opening costs most of an answer."""
        with self._open() as index:
            outermost = getattr(self._held, "index", None) is None
            self._held.index = index
            try:
                yield
            finally:
                if outermost:
                    self._held.index = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if (held := getattr(self._held, "index", None)) is not None:
            yield held
            return
        try:
            index = _connect(self.path)
        except sqlite3.OperationalError:
            raise  # locked, or no room: the file itself is sound
        except sqlite3.DatabaseError:  # damaged, or no database: it is only an index
            for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
                self.path.with_name(name).unlink(missing_ok=True)
            index = _connect(self.path)
        with contextlib.closing(index):
            yield index


def _connect(path: Path) -> sqlite3.Connection:
    index = sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        index.execute("PRAGMA journal_mode=WAL")
        index.execute("PRAGMA synchronous=NORMAL")  # rows that a power cut takes are built again
        if _version(index) != _VERSION:
            index.execute("BEGIN IMMEDIATE")
            if _version(index) != _VERSION:  # another process may have been first
                for statement in _SCHEMA:
                    index.execute(statement)
            index.execute("COMMIT")
    except sqlite3.Error:
        index.close()
        raise
    return index


def _version(index: sqlite3.Connection) -> int:
    return int(index.execute("PRAGMA user_version").fetchone()[0])


_VERSION = 2  # of the columns; an index of another version is dropped and built again from the folders
_PUT = f"INSERT OR REPLACE INTO runs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  names are ours
_SCHEMA = (
    "DROP TABLE IF EXISTS runs",
    "DROP TABLE IF EXISTS marks",
    "CREATE TABLE runs (id TEXT PRIMARY KEY, name TEXT, state TEXT, model TEXT, method TEXT, provider TEXT, created_at REAL,"
    " last_at REAL, step INTEGER, total_steps INTEGER, loss REAL, eval_loss REAL, rank INTEGER, time_s REAL, reason TEXT)",
    "CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER)",
    "CREATE INDEX runs_created_at ON runs (created_at, id)",
    "CREATE INDEX runs_state ON runs (state)",
    f"PRAGMA user_version = {_VERSION}",
)
