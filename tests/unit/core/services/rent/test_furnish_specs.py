"""What a machine is brought is what its own card needs, and as long as it arrives the machine is waited for."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.decide import Step, decide
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.offer_specs import save_offer_specs
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.spec import RunSpec
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, at, intent, machine, made, offer, seen


class Machine:
    """A door that takes files into a folder, and is ready at once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, False
        folder.mkdir()

    def upload(self, path: Path, name: str, *, told: Callable[[], None]) -> None:
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(folder=str(self.folder), phase="ready", log=(), free_bytes=1, phases=(), wants=())

    def start(self, *, from_step: int, needs: tuple[str, ...]) -> None:
        self.started = True


@pytest.mark.parametrize(("first", "precision"), [("alpha", "bf16"), ("beta", "fp16")])
def test_each_machine_is_sent_the_spec_of_its_offer(tmp_path: Path, first: str, precision: str) -> None:
    """The first one the run's; the one it fell back on, which has no bfloat16, its own."""
    spec = build_spec().model_copy(update={"precision": "bf16"})
    folder = RunStore(tmp_path).create(spec)
    save_offer_specs(folder, [(offer("alpha"), spec), (offer("beta"), spec.model_copy(update={"precision": "fp16"}))])
    store = SqliteStore(tmp_path / "rent")
    offers = tuple(sorted((offer("alpha"), offer("beta")), key=lambda one: one.provider != first))
    store.put(replace(intent(), run_id=folder.id, offers=offers, provider=first))
    mirror, there = Mirror(folder), Machine(tmp_path / "machine")

    follower = Follower(LABEL, mirror, store=store, reach=lambda record: None, now=read_now, stop=threading.Event())
    follower._furnish(there)  # type: ignore[arg-type]
    mirror.close()

    assert there.started
    sent = RunSpec.from_json((there.folder / "spec.json").read_text())
    assert (sent.precision, sent.learning_rate) == (precision, spec.learning_rate)


class SlowLine(Machine):
    """Each piece of a file takes a minute, and each file has five."""

    def __init__(self, folder: Path, look: Callable[[float], None]) -> None:
        super().__init__(folder)
        self.now_s, self._look = 10.0, look

    def upload(self, path: Path, name: str, *, told: Callable[[], None]) -> None:
        for _ in range(5):
            self.now_s += 60.0
            self._look(self.now_s)
            told()
        super().upload(path, name, told=told)


def test_a_file_that_takes_long_to_arrive_is_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base model or a checkpoint on a home's line: its machine was ended after a minute and a half of it, and so was the next."""
    monkeypatch.setattr("peft_studio.core.services.rent.follow.TOLD_S", 0.0)
    folder, store = RunStore(tmp_path).create(build_spec()), SqliteStore(tmp_path / "rent")
    store.put(replace(intent(), run_id=folder.id))
    ends: list[Step] = []

    def look(now_s: float) -> None:
        found = store.find(LABEL)
        assert found is not None
        step = decide(replace(found, done=made(rank=3)), seen(now_s, machine()), at(now_s), watching=at(0))
        if step.done.leaving:
            ends.append(step)

    there, mirror = SlowLine(tmp_path / "machine", look), Mirror(folder)
    follower = Follower(
        LABEL, mirror, store=store, reach=lambda record: None, now=lambda: at(there.now_s), stop=threading.Event()
    )
    follower._furnish(there)  # type: ignore[arg-type]
    mirror.close()
    assert there.started
    assert not ends
