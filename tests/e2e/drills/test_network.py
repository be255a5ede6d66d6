"""Drill: the network between home and machine is gone, for less than the lease and for more; and the provider's API fails for long."""

from __future__ import annotations

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import find_newest
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.state import fold
from peft_studio.core.services.run import Run
from tests.e2e.drills.drill import EVERYWHERE, LONG, LOOK, Clock, Drill, outage, phases, steps, told, wait_for
from tests.emulators.loopback import HangUp, Reply

pytestmark = pytest.mark.slow
LOOK_S = 30  # home lists machines that get on so often
LEASE_S = 40  # home says that it is there every 20 s


def launch_and_train(drill: Drill, **fields: int) -> tuple[Run, RunFolder]:
    """A run that trains; its folder there."""
    run = drill.launch(drill.client(), **fields)
    wait_for(lambda: len(steps(run.folder)) >= 3, "three steps", timeout_s=300)
    [there] = drill.there(run)
    return run, there


def last_state(there: RunFolder) -> str:
    """Where the run stands on its machine."""
    return fold(read_events(there.events)).state


@EVERYWHERE
@pytest.mark.parametrize("forget", [pytest.param(False, marks=pytest.mark.stress), True], ids=["late", "reset"])
def test_a_short_break_costs_nothing(drill: Drill, forget: bool) -> None:
    """For some steps nothing passes; then what waited comes, or the line is refused: numbers and events are all here, once."""
    run, there = launch_and_train(drill, **LONG)
    drill.relay.cut()
    first = steps(there)[-1]
    wait_for(lambda: steps(there)[-1] >= first + 5, "steps that home does not hear of", timeout_s=60)
    assert steps(run.folder)[-1] < steps(there)[-1]
    drill.relay.mend(forget=forget)
    mended, known = Clock(), steps(there)[-1]
    wait_for(lambda: steps(run.folder)[-1] >= known, "what was missed", timeout_s=60)
    print(f"caught up {mended.s:.1f} s after the line was back")
    run.wait(timeout=400)
    drill.check_all_is_well(run)


@EVERYWHERE
@pytest.mark.stress
def test_a_long_break_shows_as_silence_and_all_comes_after_it(drill: Drill) -> None:
    """The run ends on its machine while nobody hears it. Here it shows as not heard of; its machine waits, and then all of it comes."""
    run, there = launch_and_train(drill, **LONG)
    drill.relay.cut()
    cut, met = Clock(), drill.relay.met
    wait_for(lambda: run.read()[1].stale, "the word that it is not heard of", timeout_s=60)
    print(f"shown as silent after {cut.s:.1f} s")
    wait_for(lambda: drill.relay.met > met, "another try", timeout_s=60)
    print(f"line given up after {cut.s:.1f} s")
    tried = drill.relay.met

    def goes_on_unheard() -> bool:
        """It is shown as such all the time, whatever is tried meanwhile."""
        assert run.read()[1].stale
        return last_state(there) == "completed" and drill.relay.met > tried

    wait_for(goes_on_unheard, "its end over there, and another try", timeout_s=300)
    assert run.state == "training"
    drill.relay.mend(forget=True)
    mended = Clock()
    run.wait(timeout=300)
    print(f"completed {mended.s:.1f} s after the line was back")
    drill.check_all_is_well(run)


@EVERYWHERE
@pytest.mark.stress
def test_beyond_the_lease_the_machine_ends_itself_and_another_goes_on(drill: Drill) -> None:
    """Home is cut off for good while its machine trains on: once the run has ended and nobody came, the machine asks for its own end.

    Home learns that from the provider's list alone, and goes on elsewhere from what it had fetched. One that cannot end itself is switched off,
    and home ends it once its provider calls it unhealthy.
    """
    drill.machines.settings = {"PS_LEASE_S": str(LEASE_S), "PS_KEEP_S": "15"}
    run, there = launch_and_train(drill, **LONG)
    wait_for(lambda: run.checkpoints, "a checkpoint at home", timeout_s=60)
    drill.relay.cut()
    cut, fetched = Clock(), run.checkpoints[-1]
    assert last_state(there) == "training"
    wait_for(lambda: last_state(there) == "completed", "its end over there", timeout_s=300)
    ended = Clock()
    wait_for(drill.ended_itself, "the machine to end itself", timeout_s=300)
    print(f"ended itself {ended.s:.1f} s after the run's end, {cut.s:.1f} s after the cut")
    lost = steps(there)[-1] - fetched
    wait_for(lambda: told(run).count("machine") == 2, "another machine", timeout_s=300)
    print(f"home followed up {cut.s:.1f} s after the cut; {lost} steps are to be trained again")
    drill.relay.mend(forget=True)
    run.wait(timeout=400)
    drill.check_all_is_well(run, machines=2, unseen_s=LOOK_S)
    assert run.read()[0].from_step == fetched


@pytest.mark.stress
def test_beyond_the_lease_a_run_that_stands_still_is_saved_first(drill: Drill) -> None:
    """Nobody comes and nothing gets on: brake 1 has the run stopped and saved, keeps it for its owner, and only then the machine ends."""
    drill.machines.settings = {"PS_LEASE_S": str(LEASE_S), "PS_SAVE_S": "30", "PS_KEEP_S": "15"}
    run, there = launch_and_train(drill, max_steps=4000, save_steps=20)
    wait_for(lambda: run.checkpoints, "a checkpoint at home", timeout_s=60)
    drill.relay.cut()
    fetched = run.checkpoints[-1]
    [trainer] = drill.processes("train", str(there.path))
    trainer.suspend()
    frozen = Clock()
    wait_for(lambda: fold(read_events(there.events)).stop_requested, "brake 1", timeout_s=90)
    print(f"brake 1 asked for a stop {frozen.s:.1f} s after the last step")
    trainer.resume()
    wait_for(lambda: not drill.left(), "the machine to end itself", timeout_s=90)
    print(f"the machine ended itself after {frozen.s:.1f} s")
    state = fold(read_events(there.events))
    assert state.state == "stopped"
    assert (there.adapter / "adapter_model.safetensors").is_file()
    assert find_newest(there.checkpoints)
    wait_for(lambda: told(run).count("machine") == 2, "another machine", timeout_s=90)
    print(f"{steps(there)[-1] - fetched} steps of {steps(there)[-1]} are to be trained again")
    drill.relay.mend(forget=True)
    wait_for(lambda: told(run).count("job_started") == 2, "its start there", timeout_s=300)
    assert run.read()[0].from_step == fetched
    stop(drill, run)
    drill.check_all_is_well(run, machines=2, state="stopped", unseen_s=LOOK_S)


def stop(drill: Drill, run: Run) -> None:
    """A user comes and stops it, keeping what it learned."""
    wait_for(lambda: run.state == "training", "training", timeout_s=300)
    drill.client().execute(f"run = studio.run({run.id!r}); run.stop(save=True); run.wait(120)")


@EVERYWHERE
@pytest.mark.stress
@pytest.mark.parametrize("how", ["503", "no answer"])
def test_a_provider_that_fails_for_long_is_asked_until_it_is_proven_gone(drill: Drill, how: str) -> None:
    """Its API fails from the run's end on; the watcher is killed meanwhile; another one goes on asking, and the machine is gone at last."""
    run, there = launch_and_train(drill, **LONG)
    later = drill.client()
    drill.relay.cut()
    wait_for(lambda: last_state(there) == "completed", "its end over there", timeout_s=300)
    reply = Reply(503, {"error": "maintenance"}) if how == "503" else None

    def hang_up() -> Reply:
        if reply is None:
            raise HangUp
        return reply

    with outage(drill.cloud, hang_up) as asked:
        drill.relay.mend(forget=True)
        run.wait(timeout=120)
        wait_for(lambda: asked.count(LOOK[drill.provider]) >= 3, "three lists that failed", timeout_s=60)
        assert not any(event.type == "machine_gone" for event in read_events(run.folder.events))
        drill.kill_watchers()
        later.execute("studio.rentals()")
        wait_for(drill.watchers, "another watcher")
        before = len(asked)
        wait_for(lambda: len(asked) >= before + 2, "it to ask", timeout_s=60)
        assert drill.left() == 1
        assert [record.open for record in drill.records(run)] == [True]
        said = later.execute("print(studio.rentals())")
        assert "its run is complete" in said
    back = Clock()
    drill.check_all_is_well(run)
    print(f"proven gone {back.s:.1f} s after the API was back; asked {len(asked)} times meanwhile")
    assert "fetching" in phases(run)
    assert isinstance(read_events(run.folder.events)[-1], ev.MachineGone)
