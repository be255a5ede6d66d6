"""A disk at home that takes nothing, for real: what follows a run says so, waits, goes on when there is room, and has lost nothing."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import Unavailable
from peft_studio.core.ports.node import Chunk, NodeStatus
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.runs.trouble import read_trouble
from peft_studio.core.runs.watch import current_standing
from peft_studio.core.services.rent import troubles
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.followers import Followers
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.troubles import LOOK_S, MOST_WAIT_S, Troubles
from tests.conftest import wait_for
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, intent


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    mirror = Mirror(RunStore(tmp_path).create(build_spec()))
    yield mirror
    mirror.close()


class Machine:
    """Its agent lives and tells events that ours lacks, then numbers, again and again."""

    def __init__(self, first: int) -> None:
        self.told: list[ev.Event] = [
            ev.Logged(level="info", text=f"{n}", seq=first + n, at=1.0, job=1) for n in range(5)
        ]
        self.numbers, self.visits = bytes(range(200)), 0

    def status(self) -> NodeStatus:
        self.visits += 1
        return NodeStatus(
            phases=(), log=(), agent=True, starting=False, folder="r", secrets=(), used_s=1, lifetime_s=9, lease_s=9, ends_itself=True,
            free_bytes=1, python="3.11",
        )  # fmt: skip

    def list_files(self) -> dict[str, int]:
        return {"events.jsonl": 9}

    def stream(self, *, after: int, metrics: int, **_: Any) -> Iterator[Any]:
        yield Chunk(0, metrics, self.numbers[metrics:])
        yield from (event for event in self.told if event.seq > after)
        raise Unavailable("the line broke")

    def renew_lease(self) -> None: ...
    def close(self) -> None: ...


def test_a_full_disk_is_said_waited_for_and_costs_nothing(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's file is one that takes nothing, as the system has it for this."""
    monkeypatch.setattr(troubles, "MOST_WAIT_S", 0.2)
    monkeypatch.setattr(troubles, "LOOK_S", 0.05)
    mirror.say(ev.MachineRented(provider="alpha", label=LABEL, gpu="L4", usd_per_hour="0.39"))
    store, machine, stop = SqliteStore(tmp_path / "rent"), Machine(mirror.state.last_seq + 1), threading.Event()
    store.put(replace(intent(), run_id=mirror.folder.id))
    good, full = os.dup(mirror._log._fd), os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "ftruncate", lambda fd, size: None)
    os.dup2(full, mirror._log._fd)
    follower = Follower(LABEL, mirror, store=store, reach=lambda record: machine, now=read_now, stop=stop)  # type: ignore[arg-type,return-value]
    thread = threading.Thread(target=follower.follow)
    thread.start()
    try:
        said = wait_for(lambda: current_standing(mirror.folder, mirror.state, now=time.time()).trouble, "word of it")
        assert said.startswith("This machine's disk is full:")
        wait_for(lambda: machine.visits > 2, "another try")
        assert thread.is_alive()
        os.dup2(good, mirror._log._fd)
        wait_for(lambda: mirror.state.last_seq == machine.told[-1].seq, "what was told meanwhile")
        wait_for(lambda: read_trouble(mirror.folder) == "", "its end")
    finally:
        stop.set()
        thread.join(10)
    assert [event for event in read_events(mirror.folder.events) if event.seq >= machine.told[0].seq] == machine.told
    assert mirror.folder.metrics.read_bytes() == machine.numbers


def test_it_waits_longer_each_time_and_says_it_once(mirror: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """What is not of the disk is looked at again as ever."""
    caplog.set_level(logging.WARNING, "peft_studio.rent")
    one, full = Troubles(mirror.folder, "ps-1"), OSError(28, "No space left on device")
    waits = [one.note(full) for _ in range(8)]
    assert (waits[0], waits[-1], sorted(waits)) == (2 * LOOK_S, MOST_WAIT_S, waits)
    assert len(caplog.records) == 1
    one.over()
    assert (one.note(full), one.note(Unavailable("x"))) == (2 * LOOK_S, LOOK_S)
    for _ in range(8):
        one.note(Unavailable("y"))
        one.note(Unavailable("x"))
    assert [record.getMessage() for record in caplog.records[2:]] == ["ps-1: x", "ps-1: y"]


def test_what_was_said_of_the_disk_while_the_machine_before_was_followed_is_taken_back(mirror: Mirror) -> None:
    """That one was lost before there was room again, and the next one's follower has never met with it."""
    Troubles(mirror.folder, "ps-1").note(OSError(28, "No space left on device"))
    following = Troubles(mirror.folder, "ps-2")
    assert read_trouble(mirror.folder)
    following.over()
    assert read_trouble(mirror.folder) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_left_alone_for_a_moment(tmp_path: Path) -> None:
    """See :func:`test_a_lock_that_cannot_be_opened`, which is the same for root."""
    _follow_a_folder_that_fails(tmp_path, lambda lock: lock.parent.chmod(0))


def test_a_lock_that_cannot_be_opened_is_left_alone_for_a_moment(tmp_path: Path) -> None:
    """Whoever looks each second starts no thread each second; once it can be opened, the run is followed."""
    _follow_a_folder_that_fails(tmp_path, lambda lock: lock.mkdir())


def _follow_a_folder_that_fails(tmp_path: Path, break_: Any) -> None:
    runs, store = RunStore(tmp_path), SqliteStore(tmp_path / "rent")
    folder = runs.create(build_spec())
    store.put(replace(intent(), run_id=folder.id, at=read_now()))
    followers = Followers(
        store, runs, reach=lambda record: None, model_of=lambda model: None, now=read_now, forget=lambda record: None,
        note_start=lambda record, seconds, install_s: None,
    )  # fmt: skip
    folder.agent_lock.unlink(missing_ok=True)
    break_(folder.agent_lock)
    try:
        followers.turn()
        wait_for(lambda: not followers.busy(), "its end")
        assert "cannot be read or written" in read_trouble(folder)
        followers.turn()
        assert not followers.busy()
        folder.path.chmod(0o700)
        if folder.agent_lock.is_dir():
            folder.agent_lock.rmdir()
        wait_for(lambda: followers.turn() or followers.busy(), "the run to be followed")
    finally:
        folder.path.chmod(0o700)
        followers.close()
