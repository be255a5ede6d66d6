"""What is decided at home reaches the run's agent once, and what comes from there is judged at home."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import RunStateError
from peft_studio.core.ports.node import NodeStatus
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent import tell
from peft_studio.core.services.rent.bring import Bringer
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Record, Wish
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.tell import HomeLoad, Teller, why_ended
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, at, intent, made, record


class Agent:
    """Takes commands as the agent does, and writes what it was told into the log that is mirrored; ``deaf``: it answers nothing."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror, self.deaf, self.heard = mirror, False, list[str]()

    def command(self, name: str, **arguments: Any) -> None:
        if self.deaf:
            raise RunStateError("no answer")
        self.heard.append(arguments.get("code", name))
        told = ev.StopRequested(save=arguments["save"]) if name == "stop" else ev.Warned(step=0, **arguments)
        self._mirror.say(told)


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(RunStore(tmp_path).create(build_spec()))


def test_each_thing_is_said_once_however_often_it_is_due(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that does not answer is asked again later; a follower that takes over says nothing twice, for the log is what it knows."""
    monkeypatch.setattr(tell, "AGAIN_S", 0.0)
    agent, due = Agent(mirror), record(made(warned="budget", saving="budget", saving_at=at(60)), Wish(ready=True))
    agent.deaf = True
    Teller(mirror).pass_on(agent, due)  # type: ignore[arg-type]
    agent.deaf = False
    for _ in range(3):
        Teller(mirror).pass_on(agent, due)  # type: ignore[arg-type]
    assert agent.heard == ["cap_near", "cap_reached", "stop"]
    assert [one.code for one in mirror.state.warnings] == ["cap_near", "cap_reached"]
    assert mirror.state.stop_requested
    assert mirror.state.stop_requested.save


def test_a_machine_with_nothing_due_hears_nothing(mirror: Mirror) -> None:
    """Every second of a long run."""
    agent = Agent(mirror)
    Teller(mirror).pass_on(agent, record(made(), Wish(ready=True)))  # type: ignore[arg-type]
    assert agent.heard == []


@pytest.mark.parametrize(
    ("state", "done", "warned", "why"),
    [
        ("completed", {"saving": "budget"}, "", "completed"), ("stopped", {"saving": "budget"}, "", "budget"),
        ("stopped", {}, "gpu_idle_stop", "idle"), ("stopped", {}, "gpu_idle", "stopped"), ("failed", {}, "", "stopped"),
    ],
)  # fmt: skip
def test_why_a_machine_goes_whose_run_came_home(
    mirror: Mirror, state: Any, done: dict[str, Any], warned: str, why: str
) -> None:
    """Its own agent may have stopped it, too: then home learns it from the log."""
    if warned:
        mirror.say(ev.Warned(code=warned, step=1, message="x"))
    one: Record = replace(record(made(**done)))
    assert why_ended(one, mirror, ev.Finished(state=state)) == why


def test_the_load_is_judged_from_what_has_come_home(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the file that is mirrored: rows of an hour with an idle GPU, then one at work; rows without a figure, and a rule that is off."""
    clock, system = iter(range(0, 10**6, 60)), MetricsWriter(mirror.folder.system)
    monkeypatch.setattr("peft_studio.core.runs.metrics.time.time", lambda: float(next(clock)))
    load, off = HomeLoad(mirror, 3600.0), HomeLoad(mirror, None)
    for _ in range(61):
        system.log(0, gpu_percent=4.0)
    assert (load.judge(), off.judge()) == ("warn", "busy")
    for _ in range(10):
        system.log(0, gpu_percent=4.0)
    assert load.judge() == HomeLoad(mirror, 3600.0).judge() == "stop"
    system.log(0, gpu_percent=80.0)
    assert load.judge() == "busy"
    for _ in range(100):
        system.log(0, cpu_percent=1.0)
    assert load.judge() == "busy"


def test_a_run_that_ended_while_nobody_was_here_has_its_time_to_be_fetched(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Home never saw it train: it says so before it fetches, or a slow line would pass for a machine that does not get on."""
    store, known = SqliteStore(tmp_path / "rent"), list[Wish]()
    store.put(intent(run_id=mirror.folder.id))

    class Machine:
        """Its agent is gone, its files are there."""

        def __getattr__(self, name: str) -> Any:
            status = NodeStatus(
                phases=(), log=(), agent=False, starting=False, folder="r", secrets=(), used_s=1, lifetime_s=9, lease_s=9, ends_itself=True,
                free_bytes=1, python="3.11",
            )  # fmt: skip
            return lambda *_: {"status": status, "list_files": {"events.jsonl": 9}}.get(name)

    def home(self: Bringer, node: Any, finished: ev.Finished) -> None:
        record = store.find(LABEL)
        assert record
        known.append(record.wish)

    monkeypatch.setattr(Bringer, "read_log", lambda self, node: [ev.Finished(state="completed", seq=9)])
    monkeypatch.setattr(Bringer, "home", home)
    Follower(LABEL, mirror, store=store, reach=lambda record: Machine(), now=read_now, stop=threading.Event()).follow()  # type: ignore[arg-type,return-value]
    assert [(wish.ready, wish.end) for wish in known] == [(True, None)]
    record = store.find(LABEL)
    assert record
    assert record.wish.end == "completed"
