"""Whether a run's agent is alive, as far as this machine can tell. For a run on this machine the lock file is proof."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.state import RunState, Standing, standing
from peft_studio.core.runs.trouble import read_trouble
from peft_studio.core.system import is_locked

STARTUP_S = 15.0  # an interpreter on a busy machine may take this long from launch to holding the lock


def current_standing(folder: RunFolder, state: RunState, *, now: float) -> Standing:
    """How the run stands: its folded state, or ``lost`` when nothing is there to carry it on."""
    alive = is_locked(folder.agent_lock) or (state.machine is not None and _has_machine(folder))
    if (
        not alive and state.last_seq <= 1
    ):  # created; an agent that opens its lock file does not hold it in the same instant
        alive = now - state.last_at < STARTUP_S
    try:
        heard_at: float | None = folder.heartbeat.stat().st_mtime
    except OSError:
        heard_at = None
    found = standing(state, agent_alive=alive, heard_at=heard_at, now=now)
    elsewhere = state.machine is not None and not state.is_terminal
    return replace(found, trouble=read_trouble(folder)) if elsewhere else found


def _has_machine(folder: RunFolder) -> bool:
    """Whether a rented machine stands on record for the run: it is not lost then, whoever follows it may just have changed, or have died."""
    try:
        records = (folder.home / "rent" / "rentals.sqlite").absolute().as_uri()
        with contextlib.closing(sqlite3.connect(f"{records}?mode=ro", uri=True, timeout=0.1)) as db:
            asked = "SELECT EXISTS (SELECT 1 FROM records WHERE is_open AND run_id = ?)"
            return bool(db.execute(asked, (folder.id,)).fetchone()[0])
    except sqlite3.Error:  # there is none, or it cannot be read at this moment
        return (folder.home / "rent" / "rentals.sqlite").exists()
