"""Whether a run's agent is alive: its lock file is proof, and the moment between launch and lock is not a loss."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter, read_events
from peft_studio.core.runs.state import RunState, fold
from peft_studio.core.runs.watch import STARTUP_S, current_standing
from peft_studio.core.system import try_lock
from tests.rent_home import RentHome

HOLDER = """
import sys
from pathlib import Path
from peft_studio.core.system import try_lock
from tests.rent_home import RentHome
file = Path(sys.argv[1]).open("a+b")
assert try_lock(file)
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that holds a lock file."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    return child


def state_of(folder: RunFolder, *, later_s: float) -> str:
    state = fold(read_events(folder.events))
    return current_standing(folder, state, now=state.last_at + later_s).state


@pytest.mark.parametrize("lock_file_there", [False, True])
def test_a_run_just_launched_is_queued_then_lost(make_run: Callable[..., RunFolder], lock_file_there: bool) -> None:
    """An agent takes a moment to start, and another from opening its lock file to holding it. Neither is a loss."""
    folder = make_run()
    if lock_file_there:
        folder.agent_lock.touch()
    assert state_of(folder, later_s=STARTUP_S - 1) == "queued"
    assert state_of(folder, later_s=STARTUP_S + 1) == "lost"


def test_a_run_whose_agent_was_killed_is_lost_at_once(make_run: Callable[..., RunFolder]) -> None:
    """The system gives up a dead process's lock: nothing needs to time out."""
    folder = make_run()
    log = EventLogWriter(folder.events)
    log.append(ev.JobStarted(pid=1))
    log.append(ev.PhaseEntered(phase="training"))
    with hold(folder.agent_lock) as agent:
        assert state_of(folder, later_s=0.0) == "training"
        assert state_of(folder, later_s=3600.0) == "training"
        agent.kill()
        agent.wait()
        assert state_of(folder, later_s=0.0) == "lost"


def test_asking_does_not_take_the_lock(make_run: Callable[..., RunFolder]) -> None:
    """Readers look with a shared lock, so many may look at once and none is taken for an agent."""
    folder = make_run()
    EventLogWriter(folder.events).append(ev.JobStarted(pid=1))
    folder.agent_lock.touch()
    with folder.agent_lock.open("r+b") as file:
        assert try_lock(file, shared=True)
        assert state_of(folder, later_s=0.0) == "lost"


def test_a_rented_run_is_not_lost_while_its_machine_stands_on_record(make_run: Callable[..., RunFolder]) -> None:
    """From one watcher to the next it is followed by nobody for a moment. A run of this machine has nothing to do with that."""
    folder = make_run()
    rented = RunState(state="training", last_seq=9, machine=ev.MachineRented(provider="a", label="l", gpu="g", usd_per_hour="1"))  # fmt: skip
    assert current_standing(folder, rented, now=0.0).state == "lost"
    RentHome(folder.home).rent("r-20261126-101112-00000b")
    assert current_standing(folder, rented, now=0.0).state == "lost"
    RentHome(folder.home).rent(folder.id)
    assert current_standing(folder, rented, now=0.0).state == "training"
    assert current_standing(folder, replace(rented, machine=None), now=0.0).state == "lost"
