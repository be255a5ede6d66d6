"""How the agent carries a run from its place in the line to its last event, whatever the trainer does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest

from peft_studio.core.errors import RunFailed, RunStateError
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.services.run import Run
from peft_studio.core.system import is_locked
from tests.conftest import wait_for
from tests.unit.runner.agent.conftest import ROOT, StandInCompute
from tests.unit.runner.agent.stand_in import MODULE

Launch = Callable[..., Run]


def trainer_of(run: Run) -> psutil.Process:
    """The trainer's process."""

    def find() -> psutil.Process | None:
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if "train" in command and str(run.folder.path) in command:
                return process
        return None

    found: psutil.Process = wait_for(find, "the trainer")
    return found


def agent_pid(run: Run) -> int:
    return next(event.pid for event in read_events(run.folder.events) if isinstance(event, ev.JobStarted))


def wait_for_step(run: Run, step: int) -> None:
    wait_for(lambda: (rows := read_metrics(run.folder.metrics)) and rows[-1].step >= step, f"step {step}")


def test_a_run_from_launch_to_end(launch: Launch) -> None:
    """Events are numbered without gaps, phases come in order, and the run is completed with an adapter that hashes."""
    run = launch(steps=5).wait(30)
    events = list(run.events(follow=False))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    phases = [event.phase for event in events if isinstance(event, ev.PhaseEntered)]
    assert phases == ["queued", "loading", "training", "saving"]
    assert [event.type for event in events[:3]] == ["created", "job_started", "phase"]
    assert [event.type for event in events[-2:]] == ["adapter", "finished"]
    assert run.state == "completed"
    assert run.adapter.path.is_dir()
    assert [event.text for event in run.logs(contains="step ")] == [f"step {n}" for n in range(1, 6)]
    wait_for(lambda: not is_locked(run.folder.agent_lock), "the agent's end")
    assert not run.folder.agent.exists()
    assert not list(run.folder.path.glob(".*"))


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("killed", "trainer_killed", "SIGKILL"),
        ("exits", "trainer_killed", "status 7"),
        ("failed", "disk_full", "no room"),
        ("adapter missing", "adapter_unloadable", "missing"),
        ("adapter differs", "adapter_unloadable", "differs"),
        ("announces nothing", "adapter_unloadable", "without announcing"),
    ],
)
def test_an_end_without_a_usable_adapter_is_a_failure(launch: Launch, end: str, code: str, said: str) -> None:
    """``completed`` is never written on the trainer's word alone."""
    run = launch(end=end)
    with pytest.raises(RunFailed, match=said):
        run.wait(30)
    assert run.state == "failed"
    assert run.failure is not None
    assert run.failure.code == code
    assert said in run.failure.message
    if end == "exits":
        assert "nobody caught this" in run.failure.trace


def test_output_of_any_shape_reaches_the_log(launch: Launch) -> None:
    """A line of megabytes, a bar drawn with carriage returns, or bytes that are no text do not bring the agent down."""
    run = launch(say="x", times=6_000_000).wait(60)
    assert run.state == "completed"
    assert sum(len(event.text) for event in run.logs(contains="xxx")) >= 6_000_000
    bar = launch(say="10%\r20%\r30%").wait(30)
    assert [event.text for event in bar.logs(contains="%")] == ["30%"]


def test_stop_and_save_ends_after_the_step(launch: Launch) -> None:
    """The trainer ends by itself and its adapter is kept."""
    run = launch(steps=10_000, pause_s=0.01)
    wait_for_step(run, 3)
    run.stop(save=True)
    assert run.wait(30).state == "stopped"
    assert run.adapter.sha256


def test_stop_without_save_ends_now(launch: Launch) -> None:
    """The trainer's process is gone, and so is its claim to an adapter."""
    run = launch(steps=10_000, pause_s=0.05)
    wait_for_step(run, 1)
    trainer = trainer_of(run)
    run.stop(save=False)
    assert run.wait(30).state == "stopped"
    assert not trainer.is_running()
    with pytest.raises(RunStateError, match="no adapter"):
        _ = run.adapter
    assert run.failure is None


def test_stop_in_the_instant_of_launch(launch: Launch) -> None:
    """The agent may not listen yet: stop waits for it instead of failing."""
    for save in (True, False):
        run = launch(steps=10_000, pause_s=0.01)
        run.stop(save=save)
        assert run.wait(30).state == "stopped"


def test_stop_of_an_ended_run_changes_nothing(launch: Launch) -> None:
    """It is left as it is, also in the moment in which its agent takes its leave."""
    run = launch().wait(30)
    before = run.folder.events.read_bytes()
    run.stop()
    run.stop(save=False)
    assert run.folder.events.read_bytes() == before


def test_runs_wait_in_line_and_a_stop_takes_one_out(launch: Launch, compute: StandInCompute) -> None:
    """One CPU slot: the second is queued while the first trains; stopped there, it never starts a trainer."""
    first = launch(steps=10_000, pause_s=0.02)
    wait_for(lambda: first.state == "training", "the first run")
    second, third = launch(), launch(steps=3)
    wait_for(lambda: second.read()[0].phases, "the second run's agent")
    assert second.state == "queued"
    second.stop(save=False)
    assert second.wait(30).state == "stopped"
    assert [p.phase for p in second.read()[0].phases] == ["queued"]
    assert first.state == "training"
    assert third.state == "queued"
    first.stop()
    assert third.wait(30).state == "completed"


def test_a_failed_run_does_not_hold_up_the_line(launch: Launch) -> None:
    """Independent in failure: the next one runs."""
    runs = [launch(end=end) for end in ("killed", "failed", "completed")]
    for run in runs:
        wait_for(lambda run=run: run.state in {"completed", "failed"}, "the end", timeout_s=60)
    assert [run.state for run in runs] == ["failed", "failed", "completed"]


def test_a_killed_agent_is_a_lost_run_and_its_trainer_ends(launch: Launch) -> None:
    """Nothing live is shown when nothing lives; the trainer notices that nobody listens; a resume goes on."""
    run = launch(steps=200, pause_s=0.02)
    wait_for_step(run, 3)
    trainer = trainer_of(run)
    os.kill(agent_pid(run), signal.SIGKILL)
    wait_for(lambda: run.state == "lost", "lost")
    with pytest.raises(RunFailed, match="lost"):
        run.wait(5)
    psutil.wait_procs([trainer], timeout=60)
    assert not trainer.is_running()
    with pytest.raises(RunStateError, match="no adapter"):
        _ = run.adapter
    run.resume()
    assert run.wait(60).state == "completed"
    assert {event.job for event in run.events(follow=False)} == {1, 2}


def test_a_second_agent_leaves_the_run_to_the_first(launch: Launch, compute: StandInCompute) -> None:
    """Submitting twice does no harm: the second finds the lock, ends with status 3 and writes nothing."""
    run = launch(steps=10_000, pause_s=0.02)
    wait_for_step(run, 1)
    command = [sys.executable, "-m", MODULE, "agent", str(run.folder.path)]
    env = {**os.environ, "STAND_IN_LOCK_WAIT_S": "2"}  # not half a minute: the lock is held all the time
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "Another agent" in done.stderr
    run.stop(save=False)
    run.wait(30)
    assert sum(isinstance(event, ev.JobStarted) for event in run.events(follow=False)) == 1


def test_following_events_gives_each_once(launch: Launch) -> None:
    """From launch to the last event, over the agent's stream: all of them, in order, none twice."""
    run = launch(steps=50, pause_s=0.01)
    followed = [event.seq for event in run.events()]
    assert followed == [event.seq for event in read_events(run.folder.events)]
    assert followed[-1] == run.read()[0].last_seq
    assert run.state == "completed"
