"""The home's runs: their folders, and an SQLite index over them that can be deleted at any time.

The index holds what a list of runs shows, so that 100,000 runs need not be read to list 50. Agents refresh their own row as they go;
whoever lists refreshes rows of runs that are not finished, and adds folders the index has not seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from peft_studio.core.errors import RunNotFound, SpecError
from peft_studio.core.ids import is_run_id, new_run_id
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.index import SAVED, RunIndex, RunQuery, RunRow
from peft_studio.core.runs.log import EventLogWriter, read_events
from peft_studio.core.runs.metrics import Row, read_last
from peft_studio.core.runs.state import TERMINAL, RunState, fold
from peft_studio.core.runs.watch import current_standing
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import is_locked, sync_folder, write_private

_SETTLED_NS = 2_000_000_000  # file systems tell times no finer than this: a folder changed later may change unseen
_BEING_MADE_S = 60.0  # a folder that cannot be read yet is looked at again for so long


class RunStore:
    """The runs of one home. Any number of processes may open the same home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runs = home / "runs"
        self.runs.mkdir(parents=True, exist_ok=True)
        self.index = RunIndex(home / "index.sqlite")

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
        row = build_row(folder, state, read_last(folder.metrics) if tail is None else tail)
        self.index.put([row])
        return row

    def forget(self, run_id: str) -> None:
        """Take a run off the index, after its folder is gone."""
        self.index.put([], gone=[run_id])

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
        with self.index.held():
            self.catch_up()
            return self.index.page(RunQuery(status, provider, since_at, text), 0, limit)

    def catch_up(self) -> None:
        """Add folders the index lacks, drop rows whose folder is gone, refresh unfinished rows that no living agent keeps fresh.

        The folders are listed only when one has come or gone since the last listing, and only those of unfinished runs are read.
        """
        changed_ns = self.runs.stat().st_mtime_ns
        same = changed_ns == self.index.listed()
        unfinished = self.index.unfinished()
        known = {row.id: row.state for row in unfinished.values()} if same else self.index.states()
        there = known.keys() if same else {entry.name for entry in self.runs.iterdir() if is_run_id(entry.name)}
        unsure = [RunFolder(self.runs / run_id) for run_id in there if known.get(run_id) not in TERMINAL]
        # Rows are built before the index is held: reading folders takes long, and agents want to write meanwhile.
        found = {folder.id: _look(folder, listed=folder.id in known) for folder in unsure}
        rows, gone = [row for row in found.values() if row and row != unfinished.get(row.id)], known.keys() - there
        unread = [folder for folder in unsure if folder.id not in known and found[folder.id] is None]
        settled = time.time_ns() - changed_ns > _SETTLED_NS and not any(map(_may_be_in_the_making, unread))
        listed = changed_ns if settled and not same else None
        if rows or gone or listed is not None:
            self.index.put(rows, gone=gone, listed=listed)


def _may_be_in_the_making(folder: RunFolder) -> bool:
    try:
        return time.time() - folder.path.stat().st_mtime < _BEING_MADE_S
    except FileNotFoundError:
        return False


def _look(folder: RunFolder, *, listed: bool) -> RunRow | None:
    """A run's row as its folder stands; None when its agent keeps it fresh, or when the folder cannot be read."""
    if listed and is_locked(folder.agent_lock):
        return None
    try:
        return build_row(folder, fold(read_events(folder.events)), read_last(folder.metrics))
    except (
        OSError,
        ValueError,
        SpecError,
    ):  # being made or deleted, damaged, or of a newer version: not the others' fault
        return None


def build_row(folder: RunFolder, state: RunState, rows: Sequence[Row]) -> RunRow:
    """A run's line in the list. ``rows`` are its metrics, or the last few of them."""
    spec = folder.load_spec()
    loss = next((row.values["loss"] for row in reversed(rows) if "loss" in row.values), None)
    return RunRow(
        id=folder.id, name=state.name or spec.name, state=current_standing(folder, state, now=time.time()).state,
        model=spec.model, method=spec.method, provider=state.machine.provider if state.machine else "local", created_at=state.created_at, last_at=state.last_at,
        step=rows[-1].step if rows else None, total_steps=state.plan.total_steps if state.plan else None,
        loss=_number(loss), eval_loss=_number(state.evaluations[-1].loss) if state.evaluations else None, rank=spec.rank,
        time_s=sum((p.ended_at or state.last_at) - p.began_at for p in state.phases) if state.phases else None,
        reason=_reason(state),
    )  # fmt: skip


def _number(value: float | None) -> float | None:
    """As the index keeps it: SQLite has no NaN."""
    return None if value is None or value != value else value


def _reason(state: RunState) -> str:
    """Why a run is as it is, in a few words: ``out of memory, step 1``, ``saved at step 1180``."""
    if state.failure:
        where = f", step {state.failure.step}" if state.failure.step is not None else ""
        return state.failure.code.replace("_", " ") + where
    if state.state == "stopped":
        if state.adapter:
            return f"{SAVED} {state.adapter.step}"
        return f"checkpoint at step {state.checkpoints[-1].step}" if state.checkpoints else "nothing saved"
    return state.detail[:200]
