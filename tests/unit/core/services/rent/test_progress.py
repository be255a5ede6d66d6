"""What counts as getting on: a machine whose trainer hangs goes on sending its figures, and they must not keep it."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peft_studio.core.ports.node import Chunk, Message
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent import follow
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, intent


class Node:
    """A machine whose agent says these things, then nothing more."""

    def __init__(self, said: list[Message], stop: threading.Event) -> None:
        self._said, self._stop = said, stop

    def status(self) -> Any:
        return SimpleNamespace(agent=True, starting=False, wants=())

    def list_files(self) -> dict[str, int]:
        return {"events.jsonl": 1}

    def renew_lease(self) -> None:
        """It is heard."""

    def stream(self, **_: Any) -> Generator[Message]:
        yield from self._said
        self._stop.set()
        raise follow.ConnectorError("nothing more")

    def close(self) -> None:
        """Nothing is open."""


def figures(path: Path, *percents: float) -> list[Chunk]:
    """A machine's figures, a row a chunk."""
    writer, chunks, at = MetricsWriter(path), [], 0
    for percent in percents:
        writer.log(0, cpu_percent=percent)
        whole = path.read_bytes()
        chunks.append(Chunk(1, at, whole[at:]))
        at = len(whole)
    return chunks


@pytest.mark.parametrize(
    ("percents", "phase", "told", "ready"),
    [
        ((0.0, 0.0, 0.0), "loading", 3, False),
        ((0.0, 97.0, 0.0), "loading", 4, False),
        ((0.0, 0.0), "training", 5, True),
    ],
)
def test_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, percents: tuple[float, ...], phase: str, told: int, ready: bool
) -> None:
    """Events count, and so does the head of its numbers, which is written before the model is there; figures of a trainer at rest do not."""
    monkeypatch.setattr(follow, "TOLD_S", -1.0)
    runs, store, stop = RunStore(tmp_path), SqliteStore(tmp_path / "rent"), threading.Event()
    folder = runs.create(build_spec())
    store.put(intent(run_id=folder.id))
    counted: list[bool] = []
    wish = store.wish_moved
    monkeypatch.setattr(store, "wish_moved", lambda label, at, ready: (counted.append(ready), wish(label, at, ready=ready)))  # fmt: skip
    MetricsWriter(tmp_path / "metrics")
    head = Chunk(0, 0, (tmp_path / "metrics").read_bytes())
    events = [ev.JobStarted(seq=2, pid=1), ev.PhaseEntered(seq=3, phase=phase)]
    node: Any = Node([*events, head, *figures(tmp_path / "system", *percents)], stop)
    mirror = Mirror(folder)
    Follower(LABEL, mirror, store=store, reach=lambda record: node, now=read_now, stop=stop).follow()
    mirror.close()
    assert len(counted) == told
    record = store.find(LABEL)
    assert record
    assert record.wish.ready is ready


class Silent(Node):
    """It does not answer. Asked for the second time, nobody follows it any more."""

    visits = 0

    def status(self) -> Any:
        self.visits += 1
        if self.visits == 2:
            self._stop.set()
        raise follow.ConnectorError("no answer")


@pytest.mark.parametrize(("phase", "shown"), [("training", False), ("sending", True)])
def test_a_run_that_is_not_heard_has_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, shown: bool
) -> None:
    """Whoever tries to reach its machine is none. A machine that is being made ready says nothing for minutes: there he is."""
    monkeypatch.setattr(follow, "LOOK_S", 0.01)
    runs, store, stop = RunStore(tmp_path), SqliteStore(tmp_path / "rent"), threading.Event()
    folder = runs.create(build_spec())
    store.put(intent(run_id=folder.id))
    mirror, node = Mirror(folder), Silent([], stop)
    mirror.take(ev.JobStarted(seq=2, pid=1))
    mirror.take(ev.PhaseEntered(seq=3, phase=phase))
    os.utime(folder.heartbeat, (0, 0))
    reach: Any = lambda record: node  # noqa: E731
    Follower(LABEL, mirror, store=store, reach=reach, now=read_now, stop=stop).follow()
    mirror.close()
    assert node.visits == 2
    assert (folder.heartbeat.stat().st_mtime > 0) is shown


class Deaf(Node):
    """Its agent dies as often as it is started, and has no time to say anything."""

    starts = visits = 0

    def status(self) -> Any:
        self.visits += 1
        if self.visits > 12:
            self._stop.set()
        return SimpleNamespace(agent=False, starting=False, wants=())

    def start(self, **_: Any) -> None:
        self.starts += 1

    def stream(self, **_: Any) -> Generator[Message]:
        yield from ()

    def fetch(self, *names: str, to: Path) -> None:
        """Nothing is there."""

    def let_go(self) -> None:
        """It may go."""


def test_an_agent_that_dies_again_and_again_keeps_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did until its cap: it counted as getting on. The run has failed and says why, and its machine is to go."""
    monkeypatch.setattr(follow, "LOOK_S", 0.0)
    runs, store, stop = RunStore(tmp_path), SqliteStore(tmp_path / "rent"), threading.Event()
    folder = runs.create(build_spec())
    store.put(intent(run_id=folder.id))
    mirror, node = Mirror(folder), Deaf([], stop)
    there = [ev.Created(seq=1, name="x"), ev.PhaseEntered(seq=2, phase="sending")]
    monkeypatch.setattr("peft_studio.core.services.rent.bring.Bringer.read_log", lambda self, node: there)
    Follower(LABEL, mirror, store=store, reach=lambda record: node, now=read_now, stop=stop).follow()  # type: ignore[arg-type,return-value]
    mirror.close()
    record = store.find(LABEL)
    assert record
    assert (node.starts, record.wish.end) == (follow.MOST_STARTS, "stopped")
    assert mirror.state.state == "failed"
    assert mirror.state.failure
    assert "4 times" in mirror.state.failure.message
