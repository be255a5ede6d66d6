"""Whether a run with a new machine goes on: one that was resumed does, one that has ended on that machine lets it go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.state import RunState, fold
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.followers import Followers
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from tests.conftest import wait_for
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, intent

FULL = ev.Failure(code="disk_full", message="full")


@pytest.fixture
def folder(runs: RunStore) -> RunFolder:
    return runs.create(build_spec())


@pytest.fixture
def runs(tmp_path: object) -> RunStore:
    return RunStore(tmp_path)  # type: ignore[arg-type]


@pytest.fixture
def follow(runs: RunStore, folder: RunFolder) -> Iterator[Callable[..., tuple[SqliteStore, RunFolder]]]:
    """Follow a run that has a record, with a log that says this; its machine never answers."""
    store = SqliteStore(folder.home / "rent")
    followers = Followers(
        store, runs, reach=lambda record: None, model_of=lambda model: None, now=read_now, forget=lambda record: None,
        note_start=lambda record, seconds, install_s: None,
    )  # fmt: skip

    def _follow(*said: ev.Event) -> tuple[SqliteStore, RunFolder]:
        mirror = Mirror(folder)
        for event in said:
            mirror.say(event)
        mirror.close()
        store.put(replace(intent(), run_id=folder.id, at=read_now()))
        followers.turn()
        return store, folder

    yield _follow
    followers.close()


def state_of(folder: RunFolder) -> RunState:
    return fold(read_events(folder.events))


def machine(label: str) -> ev.Event:
    return ev.MachineRented(provider="alpha", label=label, gpu="L4", usd_per_hour="0.39")


def test_a_run_that_was_resumed_is_followed_to_its_next_machine(
    follow: Callable[..., tuple[SqliteStore, RunFolder]],
) -> None:
    """It had failed on another one."""
    store, folder = follow(machine("ps-before"), ev.Finished(state="failed", failure=FULL))
    wait_for(lambda: state_of(folder).phases, "its first phase there", timeout_s=20)
    assert state_of(folder).state == "provisioning"
    assert state_of(folder).machine == machine(LABEL).model_copy(
        update={"gpu": "RTX 4090", "usd_per_hour": "2", "seq": 4, "at": state_of(folder).machine.at}  # type: ignore[union-attr]
    )
    record = store.find(LABEL)
    assert record
    assert record.wish.end is None


@pytest.mark.parametrize(
    ("label", "state", "why"),
    [(LABEL, "failed", "stopped"), (LABEL, "stopped", "stopped"), (LABEL, "completed", "completed"), ("ps-before", "completed", "completed")],
)  # fmt: skip
def test_a_run_that_ended_there_lets_its_machine_go(
    follow: Callable[..., tuple[SqliteStore, RunFolder]], label: str, state: str, why: str
) -> None:
    """Whoever wrote its end down was killed before he could say so; and what is completed is never trained again."""
    store, folder = follow(machine(label), ev.Finished(state=state))  # type: ignore[arg-type]
    wait_for(lambda: (store.find(LABEL) or intent()).wish.end, "the word that it is to go", timeout_s=20)  # type: ignore[union-attr]
    record = store.find(LABEL)
    assert record
    assert record.wish.end == why
    assert state_of(folder).state == state


def test_its_log_says_why_it_has_another_machine(
    runs: RunStore, folder: RunFolder, follow: Callable[..., tuple[SqliteStore, RunFolder]]
) -> None:
    """What became of the one before, that it is gone, and what is next; of a run that was stopped and resumed, nothing."""
    store = SqliteStore(folder.home / "rent")
    for label, why in (("ps-before", "failed"), ("ps-first", "stopped")):
        store.put(replace(intent(), label=label, run_id=f"of {label}", at=read_now()))
        claimed = store.claim(label, "test", read_now(), hold_s=1)
        assert claimed
        store.write(claimed, "test", replace(claimed.done, leaving=why, closed_at=read_now()))
        store.release(label, "test")
    follow(machine("ps-first"), ev.Finished(state="stopped"), machine("ps-before"))
    wait_for(lambda: (state_of(folder).machine or machine("")).label == LABEL, "its next machine", timeout_s=20)  # type: ignore[attr-defined]
    said = [event.text for event in read_events(folder.events) if isinstance(event, ev.Logged)]
    assert said == ["Its machine failed. It is gone, as its provider's list shows; next is RTX 4090 at alpha."]


def test_a_run_that_was_asked_to_stop_gets_no_other_machine(
    follow: Callable[..., tuple[SqliteStore, RunFolder]],
) -> None:
    """The one that was asked is lost, and its stop with it: who asked does not want to pay for another."""
    store, folder = follow(machine("ps-before"), ev.JobStarted(pid=1, from_step=0), ev.StopRequested(save=True))
    wait_for(lambda: (store.find(LABEL) or intent()).wish.end, "the word that it is to go", timeout_s=20)  # type: ignore[union-attr]
    assert state_of(folder).state == "stopped"


def test_a_run_that_was_stopped_and_resumed_gets_one(follow: Callable[..., tuple[SqliteStore, RunFolder]]) -> None:
    """Its stop was of before; and the first machine after it may have been lost, too."""
    stopped = (ev.JobStarted(pid=1, from_step=0), ev.StopRequested(save=True), ev.Finished(state="stopped"))
    store, folder = follow(machine("ps-first"), *stopped, machine("ps-second"))
    wait_for(lambda: (state_of(folder).machine or machine("")).label == LABEL, "its next machine", timeout_s=20)  # type: ignore[attr-defined]
    record = store.find(LABEL)
    assert record
    assert record.wish.end is None
