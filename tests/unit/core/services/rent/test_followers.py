"""Whether a run with a new machine goes on: one that was resumed does, one that has ended on that machine lets it go."""

from __future__ import annotations

import threading
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
from peft_studio.core.services.rent.moment import Moment, read_now
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from tests.conftest import wait_for
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, intent, made

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
    wait_for(lambda: state_of(folder).phases, "its first phase there")
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
    wait_for(lambda: (store.find(LABEL) or intent()).wish.end, "the word that it is to go")  # type: ignore[union-attr]
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
    wait_for(lambda: (state_of(folder).machine or machine("")).label == LABEL, "its next machine")  # type: ignore[attr-defined]
    said = [event.text for event in read_events(folder.events) if isinstance(event, ev.Logged)]
    assert said == ["Its machine failed. It is gone, as its provider's list shows; next is RTX 4090 at alpha."]


def test_a_run_that_was_asked_to_stop_gets_no_other_machine(
    follow: Callable[..., tuple[SqliteStore, RunFolder]],
) -> None:
    """The one that was asked is lost, and its stop with it: who asked does not want to pay for another."""
    store, folder = follow(machine("ps-before"), ev.JobStarted(pid=1, from_step=0), ev.StopRequested(save=True))
    wait_for(lambda: (store.find(LABEL) or intent()).wish.end, "the word that it is to go")  # type: ignore[union-attr]
    assert state_of(folder).state == "stopped"


@pytest.mark.parametrize(
    ("why", "idle", "state", "said"),
    [
        ("unheard", "busy", "failed", "may have ended itself"), ("unheard", "warn", "stopped", "nothing to do"), ("idle", "stop", "stopped", "nothing to do"),
        ("vanished", "busy", "failed", "vanished"), ("budget", "busy", "failed", "budget"), ("budget", "warn", "failed", "budget"),
    ],
)  # fmt: skip
def test_an_idle_stop_reads_as_one(
    runs: RunStore, folder: RunFolder, why: str, idle: str, state: str, said: str
) -> None:
    """Also where its machine ended itself with nobody at home; what is not known is said, with the way on."""
    store = SqliteStore(folder.home / "rent")
    record = store.put(replace(intent(), run_id=folder.id, at=read_now()))
    store.wish_idle(LABEL, idle)  # type: ignore[arg-type]
    followers = Followers(
        store, runs, reach=lambda record: None, model_of=lambda model: None, now=read_now, forget=lambda record: None,
        note_start=lambda record, seconds, install_s: None,
    )  # fmt: skip
    found, mirror = store.find(LABEL), Mirror(folder)
    assert found
    done = replace(record.done, leaving=why, closed_at=read_now(), instance_id="i1")  # type: ignore[arg-type]
    followers._end(mirror, replace(found, done=done))
    mirror.close()

    now = state_of(folder)
    assert now.state == state
    told = now.failure or now.warnings[-1]
    assert said in told.message
    assert why == "vanished" or "run.resume(" in told.hint


@pytest.mark.parametrize(("instance_id", "said"), [("", "provider's bill"), ("i1", "Its machine is gone")])
def test_a_machine_that_no_list_ever_had_is_not_said_to_be_gone(
    runs: RunStore, folder: RunFolder, instance_id: str, said: str
) -> None:
    """Nobody knows whether it was made."""
    store = SqliteStore(folder.home / "rent")
    record = store.put(replace(intent(), run_id=folder.id, at=read_now()))
    followers = Followers(
        store, runs, reach=lambda record: None, model_of=lambda model: None, now=read_now, forget=lambda record: None,
        note_start=lambda record, seconds, install_s: None,
    )  # fmt: skip
    mirror = Mirror(folder)
    done = replace(record.done, leaving="unheard", closed_at=read_now(), instance_id=instance_id)
    followers._end(mirror, replace(record, done=done))
    mirror.close()
    failure = state_of(folder).failure
    assert failure
    assert said in failure.message


@pytest.mark.parametrize("why", ["completed", "unheard"])
def test_the_log_of_a_run_that_has_ended_says_that_its_machine_is_gone(
    runs: RunStore, folder: RunFolder, why: str
) -> None:
    """Whatever ended it; the run stays what it is."""
    store = SqliteStore(folder.home / "rent")
    record = store.put(replace(intent(), run_id=folder.id, at=read_now()))
    followers = Followers(
        store, runs, reach=lambda record: None, model_of=lambda model: None, now=read_now, forget=lambda record: None,
        note_start=lambda record, seconds, install_s: None,
    )  # fmt: skip
    mirror = Mirror(folder)
    mirror.say(ev.MachineRented(provider="alpha", label=LABEL, gpu="", usd_per_hour="2"))
    mirror.say(ev.Finished(state="stopped"))
    followers._end(mirror, replace(record, done=replace(record.done, leaving=why, closed_at=read_now())))  # type: ignore[arg-type]
    mirror.close()
    told = [event for event in read_events(folder.events) if isinstance(event, ev.MachineGone)]
    assert [event.why for event in told] == [why]
    assert state_of(folder).state == "stopped"


def test_a_machine_that_is_to_be_gone_hears_it(runs: RunStore, folder: RunFolder) -> None:
    """Though nobody follows its run any more, and whatever its provider does: it may end itself."""

    class Door:
        def __init__(self) -> None:
            self.over = threading.Event()

        def let_go(self) -> None:
            self.over.set()

        def close(self) -> None:
            pass

    door, store, now = Door(), SqliteStore(folder.home / "rent"), read_now()
    long_ago = Moment(now.wall_s - 60, now.steady_s - 60, now.boot)
    store.put(replace(intent(), run_id=folder.id, at=long_ago))
    claimed = store.claim(LABEL, "t", now, hold_s=90)
    assert claimed
    store.write(claimed, "t", made(asked_at=long_ago, leaving="budget", leaving_at=long_ago))
    followers = Followers(
        store, runs, reach=lambda record: door, model_of=lambda model: None, now=read_now, forget=lambda record: None,
        note_start=lambda record, seconds, install_s: None,
    )  # type: ignore[arg-type, return-value]  # fmt: skip
    followers.turn()
    try:
        wait_for(door.over.is_set, "the word that nobody wants it")
    finally:
        followers.close()


def test_a_run_that_was_stopped_and_resumed_gets_one(follow: Callable[..., tuple[SqliteStore, RunFolder]]) -> None:
    """Its stop was of before; and the first machine after it may have been lost, too."""
    stopped = (ev.JobStarted(pid=1, from_step=0), ev.StopRequested(save=True), ev.Finished(state="stopped"))
    store, folder = follow(machine("ps-first"), *stopped, machine("ps-second"))
    wait_for(lambda: (state_of(folder).machine or machine("")).label == LABEL, "its next machine")  # type: ignore[attr-defined]
    record = store.find(LABEL)
    assert record
    assert record.wish.end is None
