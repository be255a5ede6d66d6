"""Secrets that a machine's door has forgotten are given again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import NotAuthorised
from peft_studio.core.ports.node import NodeStatus
from peft_studio.core.redact import Secret
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.furnish import Furnisher
from peft_studio.core.services.rent.hub_pass import mark_closed
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, intent, offer


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """Of a run whose base model comes with a token alone, of a hub of its own."""
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    mirror = Mirror(RunStore(tmp_path).create(build_spec()))
    mark_closed(mirror.folder)
    return mirror


class Machine:
    """Its door died between the word to start and the start."""

    def __init__(self, enough: threading.Event | None = None) -> None:
        self.given, self.started, self._enough = dict[str, str](), list[tuple[str, ...]](), enough or threading.Event()

    def status(self) -> NodeStatus:
        wants = tuple({"HF_TOKEN", "HF_ENDPOINT"} - self.given.keys())
        if not wants:
            self._enough.set()
        return NodeStatus(
            phases=(), log=(), agent=False, starting=True, folder="r", secrets=(), wants=wants, used_s=1, lifetime_s=9, lease_s=9,
            ends_itself=True, free_bytes=1, python="3.11",
        )  # fmt: skip

    def give_secret(self, name: str, secret: Secret) -> None:
        self.given[name] = secret.reveal()

    def start(self, *, from_step: int, needs: tuple[str, ...]) -> None:
        self.started.append(needs)

    def list_files(self) -> dict[str, int]:
        return {"events.jsonl": 9}

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: (nothing for nothing in ())


WHAT = {"HF_TOKEN": "hf_x", "HF_ENDPOINT": "https://hub.example"}


def test_a_start_names_what_it_needs(mirror: Mirror) -> None:
    """So a door that dies in between does not start it without."""
    machine = Machine()
    furnisher = Furnisher(
        mirror, lambda folder: Secret("hf_x"), gets_on=lambda: None, pause=lambda: False, offer=offer()
    )
    furnisher.start(machine, from_step=0)  # type: ignore[arg-type]
    assert (machine.given, machine.started) == (WHAT, [("HF_TOKEN", "HF_ENDPOINT")])
    open_model = Furnisher(mirror, lambda folder: None, gets_on=lambda: None, pause=lambda: False, offer=offer())
    open_model.start(machine, from_step=0)  # type: ignore[arg-type]
    assert machine.started[-1] == ()
    with pytest.raises(NotAuthorised, match="not kept here any more"):
        open_model.give_again(machine, ("HF_TOKEN",))  # type: ignore[arg-type]


def test_whoever_follows_it_gives_them_again(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its next look."""
    store, stop = SqliteStore(tmp_path / "rent"), threading.Event()
    machine = Machine(stop)
    store.put(intent(run_id=mirror.folder.id))
    monkeypatch.setattr("peft_studio.core.services.rent.bring.Bringer.read_log", lambda self, node: [mirror.state])
    monkeypatch.setattr(Mirror, "take", lambda self, event: None)
    Follower(
        LABEL, mirror, store=store, reach=lambda record: machine, now=read_now, stop=stop, model=lambda folder: Secret("hf_x"),  # type: ignore[arg-type,return-value]
    ).follow()  # fmt: skip
    assert machine.given == WHAT
    assert machine.started == []
