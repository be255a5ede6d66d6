"""Whether a run's agent is alive, as far as this machine can tell. For a run on this machine the lock file is proof."""

from __future__ import annotations

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.state import RunState, Standing, standing
from peft_studio.core.system import is_locked

WATCHERS = (
    "rent/watch.lock",
    "rent/relief.lock",
)  # of whoever looks after rented machines, and of whoever is about to take over
STARTUP_S = 15.0  # an interpreter on a busy machine may take this long from launch to holding the lock


def current_standing(folder: RunFolder, state: RunState, *, now: float) -> Standing:
    """How the run stands: its folded state, or ``lost`` when nothing is there to carry it on."""
    alive = is_locked(folder.agent_lock) or (state.machine is not None and _is_looked_after(folder))
    if (
        not alive and state.last_seq <= 1
    ):  # created; an agent that opens its lock file does not hold it in the same instant
        alive = now - state.last_at < STARTUP_S
    try:
        heard_at: float | None = folder.heartbeat.stat().st_mtime
    except FileNotFoundError:
        heard_at = None
    return standing(state, agent_alive=alive, heard_at=heard_at, now=now)


def _is_looked_after(folder: RunFolder) -> bool:
    """Whether the process lives that sees to it that rented runs are followed: from one to the next, a run is followed by nobody for a moment."""
    return any(is_locked(folder.home / name) for name in WATCHERS)
