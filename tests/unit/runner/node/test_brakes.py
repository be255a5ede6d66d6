"""The two brakes of a rented machine, each with the other out of order: whatever happens to owner, trainer or door, the machine ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from peft_studio.core.errors import Unavailable
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.state import fold
from peft_studio.core.runs.store import RunStore
from tests.conftest import wait_for
from tests.rented import Provider, Rented, put_gpu, rent
from tests.unit.core.runs.conftest import build_spec

pytestmark = pytest.mark.slow
RentStandIn = Callable[..., Rented]
SLOW = {"steps": 10_000, "pause_s": 0.05}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that nobody starts."""
    return RunStore(tmp_path / "home").create(build_spec())


def process_of(rented: Rented, *words: str) -> psutil.Process:
    """A process of the machine by words of its command line, or the n-th copy of the boot script."""

    def find() -> psutil.Process | None:
        for process in rented.machine.processes:
            try:
                if set(words) <= set(process.cmdline()):
                    return process
            except psutil.Error:
                continue
        return None

    found: psutil.Process = wait_for(find, f"a process with {words}")
    return found


def brake_2(rented: Rented) -> psutil.Process:
    """The shell that counts the machine's life: it has a ``sleep 1``."""

    def find() -> psutil.Process | None:
        for process in rented.machine.processes:
            try:
                parent = process.parent()
                if process.cmdline() == ["sleep", "1"] and parent and parent.pid != rented.machine.pid:
                    return parent
            except psutil.Error:
                continue
        return None

    found: psutil.Process = wait_for(find, "brake 2")
    return found


def wait_for_end(rented: Rented, *, timeout_s: float) -> None:
    """Until the provider was asked, and nothing of the machine lives."""
    wait_for(lambda: rented.provider.asked, "the machine to end itself", timeout_s=timeout_s)
    wait_for(lambda: not rented.machine.processes, "the machine's end")


def test_brake_2_alone_ends_a_machine_that_nobody_ever_reached(
    tmp_path: Path, provider: Provider, folder: RunFolder
) -> None:
    """With brake 1 frozen, the machine ends when its lifetime is over, not before, and within seconds."""
    began = time.monotonic()
    rented = rent(tmp_path / "pod", provider, folder, lifetime_s=6, lease_s=1, save_s=1)
    process_of(rented, "peft_studio.runner.node.lease").suspend()
    wait_for_end(rented, timeout_s=30)
    assert 6 <= provider.asked[0] - began < 20


def test_brake_1_alone_ends_a_machine_that_nobody_ever_reached(
    tmp_path: Path, provider: Provider, folder: RunFolder
) -> None:
    """With brake 2 killed, the machine ends when nobody came for as long as the lease. Killed for its memory, brake 1 begins anew."""
    began = time.monotonic()
    rented = rent(tmp_path / "pod", provider, folder, lifetime_s=3600, lease_s=3, save_s=1)
    brake_2(rented).kill()
    process_of(rented, "peft_studio.runner.node.lease").kill()
    wait_for_end(rented, timeout_s=30)
    assert 3 <= provider.asked[0] - began < 20


def test_brake_2_needs_no_disk(tmp_path: Path, provider: Provider, folder: RunFolder) -> None:
    """Nothing can be written, so there is no door, no brake 1, no log: the machine ends all the same."""
    rented = rent(tmp_path / "pod", provider, folder, lifetime_s=3, save_s=1, base="/proc/nowhere")
    wait_for_end(rented, timeout_s=30)
    assert "Nothing can be written to /proc/nowhere." in rented.machine.text


def test_progress_without_an_owner_goes_on_and_a_frozen_trainer_does_not(rent_stand_in: RentStandIn) -> None:
    """The owner is gone for good: training renews the lease. Then the trainer freezes, and the machine ends within lease and saving."""
    rented = rent_stand_in(SLOW, lease_s=3, save_s=2)
    wait_for(lambda: rented.step() > 0, "training")
    then, first = time.monotonic(), rented.step()
    wait_for(lambda: time.monotonic() - then > 4, "more than the lease")
    assert not rented.provider.asked
    assert rented.step() > first
    process_of(rented, "train", str(rented.there.path)).suspend()
    frozen = time.monotonic()
    wait_for_end(rented, timeout_s=30)
    assert 2.5 <= rented.provider.asked[0] - frozen < 3 + 2 + 10


def test_a_run_that_stands_still_is_saved_before_the_machine_ends(rent_stand_in: RentStandIn) -> None:
    """No owner, no step for as long as the lease: the agent is asked to stop and save, and only then the provider."""
    rented = rent_stand_in({"steps": 100, "pause_s": 6}, lease_s=3, save_s=20)
    wait_for_end(rented, timeout_s=60)
    state = fold(read_events(rented.there.events))
    assert state.state == "stopped"
    assert state.stop_requested
    assert state.stop_requested.save
    assert (rented.there.adapter / "adapter_model.safetensors").is_file()


def test_a_lifetime_that_is_nearly_over_saves_what_was_learned(rent_stand_in: RentStandIn) -> None:
    """The run trains well, but what brake 2 has counted leaves time for saving only: it stops, saves, and the machine ends."""
    rented = rent_stand_in(SLOW, lifetime_s=3600, lease_s=300, save_s=60, keep_s=2)
    wait_for(lambda: rented.step() > 0, "training")
    brake_2(rented).suspend()
    (rented.base / "used").write_text(f"{3600 - 60:010}\n")
    wait_for_end(rented, timeout_s=60)
    assert fold(read_events(rented.there.events)).state == "stopped"
    assert (rented.there.adapter / "adapter_model.safetensors").is_file()


@pytest.mark.stress  # 15 s
def test_with_nobody_at_home_it_stops_early_enough_for_its_files_to_wait(rent_stand_in: RentStandIn) -> None:
    """Its life pays for the waiting, too: stopped and saved that much earlier, then kept, then ended; brake 2 was never needed."""
    rented = rent_stand_in(SLOW, lifetime_s=3600, lease_s=2, save_s=20, keep_s=6)
    wait_for(lambda: rented.step() > 0, "training")
    brake_2(rented).suspend()
    (rented.base / "used").write_text(f"{3600 - 20 - 6:010}\n")
    wait_for(lambda: fold(read_events(rented.there.events)).state == "stopped", "the run's end")
    stopped = time.monotonic()
    assert (rented.there.adapter / "adapter_model.safetensors").is_file()
    wait_for_end(rented, timeout_s=30)
    assert 5 <= rented.provider.asked[0] - stopped < 6 + 5


@pytest.mark.stress  # 20 s
def test_a_gpu_that_idles_stops_its_run_with_nobody_at_home_and_no_brake(
    rent_stand_in: RentStandIn, tmp_path: Path
) -> None:
    """Both brakes are out of order, the owner is gone, training gets on: the agent alone warns, stops and saves."""
    put_gpu(tmp_path / "pod" / "gpu", 4)
    rented = rent_stand_in(SLOW, lifetime_s=3600, lease_s=300, idle_s=5)
    process_of(rented, "peft_studio.runner.node.lease").suspend()
    brake_2(rented).kill()
    wait_for(lambda: fold(read_events(rented.there.events)).state == "stopped", "the run's end", timeout_s=40)
    state = fold(read_events(rented.there.events))
    assert [one.code for one in state.warnings] == ["gpu_idle", "gpu_idle_stop"]
    assert state.stop_requested
    assert (rented.there.adapter / "adapter_model.safetensors").is_file()
    assert not rented.provider.asked


def test_a_machine_that_starts_again_has_no_second_life(tmp_path: Path, provider: Provider, folder: RunFolder) -> None:
    """A provider starts a container anew that fell over: brake 2 goes on counting where it was."""
    (tmp_path / "pod" / "peft-studio").mkdir(parents=True)
    (tmp_path / "pod" / "peft-studio" / "used").write_text("0000003598\n")
    rented = rent(tmp_path / "pod", provider, folder, lifetime_s=3600, lease_s=3600, save_s=1)
    process_of(rented, "peft_studio.runner.node.lease").suspend()
    wait_for_end(rented, timeout_s=30)


def test_an_owner_who_comes_back_is_heard(rent_stand_in: RentStandIn) -> None:
    """While he calls nothing ends, also after the run; when he is gone it does, and not before its files have waited for him."""
    rented = rent_stand_in({"steps": 3}, lease_s=2, keep_s=4, save_s=2)
    wait_for(lambda: fold(read_events(rented.there.events)).state == "completed", "the run's end")
    until = time.monotonic() + 3
    while time.monotonic() < until:
        rented.client.renew_lease()
    gone = time.monotonic()
    assert not rented.provider.asked
    wait_for_end(rented, timeout_s=30)
    assert rented.provider.asked[0] - gone > 3


def test_a_machine_whose_owner_has_everything_ends_at_once(rent_stand_in: RentStandIn) -> None:
    """Long before its lease is over, and asking again where the provider says yes and does nothing; he cannot call it back by looking."""
    rented = rent_stand_in({"steps": 3}, lease_s=300, keep_s=300, save_s=2)
    wait_for(lambda: fold(read_events(rented.there.events)).state == "completed", "the run's end")
    rented.provider.deaf = True
    rented.client.let_go()
    rented.client.renew_lease()
    wait_for(lambda: len(rented.provider.asked) >= 2, "a second try")
    rented.provider.deaf = False
    wait_for_end(rented, timeout_s=20)


@pytest.mark.stress  # 23 s
def test_a_deaf_provider_is_asked_again_and_nothing_computes_meanwhile(rent_stand_in: RentStandIn) -> None:
    """It says yes and does nothing, then refuses: the machine never stops asking, and ends the work at the third refusal."""
    rented = rent_stand_in(SLOW, lease_s=2, save_s=1)
    wait_for(lambda: rented.step() > 0, "training")
    rented.provider.deaf = True
    process_of(rented, "train", str(rented.there.path)).suspend()
    wait_for(lambda: len(rented.provider.asked) >= 2, "a second try", timeout_s=60)
    rented.provider.answer = 500
    wait_for(lambda: not rented.work(), "the end of all work", timeout_s=60)
    rented.provider.answer, rented.provider.deaf = 204, False
    wait_for_end(rented, timeout_s=60)


def test_where_no_machine_may_end_itself_the_work_ends_and_it_is_switched_off(rent_stand_in: RentStandIn) -> None:
    """As at Lambda: also a frozen trainer is killed, the machine is told to switch off, and its status has said so from the start."""
    rented = rent_stand_in(SLOW, lease_s=3, save_s=1, self_end=None)
    assert rented.client.status().ends_itself is False
    wait_for(lambda: rented.step() > 0, "training")
    process_of(rented, "train", str(rented.there.path)).suspend()
    wait_for(lambda: (rented.machine.folder / "switched-off").exists(), "the switch")
    assert not rented.work()
    assert "lets no machine end itself" in rented.machine.text
    assert not rented.provider.asked


def test_no_process_but_the_first_has_a_secret(rent_stand_in: RentStandIn) -> None:
    """Token, certificate and the machine's key: in no command line, in no environment but the boot script's own, in no file."""
    rented = rent_stand_in(SLOW, lease_s=300)
    wait_for(lambda: rented.step() > 0, "training")
    seen = rented.in_sight()
    assert b"PS_RUN" in seen
    for secret in rented.secrets:
        assert secret.encode() not in seen


def test_the_door_comes_back_and_the_agent_lives_on(rent_stand_in: RentStandIn) -> None:
    """The door is killed in the middle of a stream: it is there again, and the follower gets every event once."""
    rented = rent_stand_in({"steps": 200, "pause_s": 0.02}, lease_s=300)
    wait_for(lambda: rented.step() > 0, "training")
    followed, ended = [0], False
    while not ended:
        with contextlib.suppress(Unavailable):  # until the door is there again
            for message in rented.client.stream(after=followed[-1], metrics=0, system=0, over=lambda: False):
                if hasattr(message, "seq"):
                    followed.append(message.seq)
                    if len(followed) == 20:
                        process_of(rented, "peft_studio.runner.node.door").kill()
            ended = True
    events = read_events(rented.there.events)
    assert followed[1:] == [event.seq for event in events]
    assert fold(events).state == "completed"
