"""Drill: trainer, agent or all who look after a run stand still. It shows as what it is, nothing that stands still is paid for long, and it goes on."""

from __future__ import annotations

import pytest

from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.runs.state import fold
from tests.e2e.drills.drill import EVERYWHERE, LONG, Clock, Drill, phases, steps, told, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.stress]


def test_a_frozen_agent_is_not_heard_of_and_goes_on(drill: Drill) -> None:
    """Its word is "last heard", never "training"; woken, nothing is missing, and it was one machine all the time."""
    run = drill.launch(drill.client(), **LONG)
    wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    [agent] = drill.processes("agent", str(drill.there(run)[0].path))
    agent.suspend()
    frozen = Clock()
    wait_for(lambda: run.read()[1].stale, "the word that it is not heard of", timeout_s=60)
    print(f"shown as silent after {frozen.s:.1f} s")
    wait_for(lambda: frozen.s > 15, "more than it takes to give up the line")
    assert run.read()[1].stale
    agent.resume()
    wait_for(lambda: not run.read()[1].stale, "its voice", timeout_s=60)
    run.wait(timeout=400)
    drill.check_all_is_well(run)


def test_a_frozen_trainer_goes_on_when_it_is_woken(drill: Drill) -> None:
    """No step comes, and its machine's figures say that it does nothing; woken, it ends as if nothing had been."""
    run = drill.launch(drill.client(), **LONG)
    wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    [trainer] = drill.processes("train", str(drill.there(run)[0].path))
    trainer.suspend()
    frozen = Clock()

    def load() -> float:
        """Percent of a core, as last told."""
        rows = read_metrics(run.folder.system)
        return rows[-1].values["cpu_percent"] if rows else 100.0

    wait_for(lambda: load() == 0.0, "figures that say so", timeout_s=60)
    before = steps(run.folder)
    print(f"figures say that it does nothing after {frozen.s:.1f} s")
    wait_for(lambda: frozen.s > 10, "a while")
    assert steps(run.folder) == before
    trainer.resume()
    run.wait(timeout=400)
    drill.check_all_is_well(run)


@EVERYWHERE
def test_nobody_renews_the_lease_of_a_frozen_trainer(drill: Drill) -> None:
    """Everybody at home is gone and the trainer stands still: its agent's heartbeat does not keep the machine. Who comes later goes on elsewhere.

    A machine that cannot end itself is switched off and paid for until then.
    """
    drill.machines.settings = {"PS_LEASE_S": "40", "PS_SAVE_S": "5"}
    client = drill.client()
    run = drill.launch(client, **LONG)
    wait_for(lambda: run.checkpoints, "a checkpoint at home", timeout_s=300)
    [trainer] = drill.processes("train", str(drill.there(run)[0].path))
    trainer.suspend()
    frozen = Clock()
    client.kill()
    drill.kill_watchers()
    fetched = run.checkpoints[-1]
    wait_for(drill.ended_itself, "the machine to end itself", timeout_s=90)
    print(f"the machine ended itself {frozen.s:.1f} s after the trainer froze")
    assert run.read()[1].stale
    drill.client()
    wait_for(lambda: told(run).count("machine") == 2, "another machine", timeout_s=300)
    run.wait(timeout=400)
    drill.check_all_is_well(run, machines=2)
    assert run.read()[0].from_step == fetched


def test_a_trainer_that_hangs_before_its_first_step_is_not_waited_for(drill: Drill) -> None:
    """It stands still while it loads, and its agent goes on sending figures: after the patience that was promised, the next machine is taken."""
    run = drill.launch(drill.client(), max_steps=12, save_steps=4)
    wait_for(lambda: "loading" in phases(run), "the trainer", timeout_s=300)
    [trainer] = wait_for(lambda: drill.processes("train", str(drill.there(run)[0].path)), "it")
    trainer.suspend()
    frozen = Clock()
    assert "planned" not in told(run)
    wait_for(lambda: not drill.left(), "the end of its machine", timeout_s=180)
    print(f"its machine was ended {frozen.s:.1f} s after it froze")
    [first, *_] = drill.records(run)
    assert first.done.leaving == "no-progress"
    run.wait(timeout=400)
    drill.check_all_is_well(run, machines=2)


@EVERYWHERE
def test_a_laptop_that_was_away_raises_no_alarm(drill: Drill) -> None:
    """All processes at home stand still for longer than a look takes, as on a lid that is closed; open again, the run is where it is."""
    client = drill.client()
    run = drill.launch(client, **LONG)
    wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    there = drill.there(run)[0]
    asleep = [*drill.watchers(), *drill.tunnels()]
    for process in asleep:
        process.suspend()
    wait_for(lambda: fold(read_events(there.events)).state == "completed", "its end over there", timeout_s=300)
    wait_for(lambda: run.read()[1].stale, "the word that it is not heard of")
    for process in asleep:
        process.resume()
    run.wait(timeout=300)
    drill.check_all_is_well(run)
    assert not drill.studio._machines.desk.alarms()
