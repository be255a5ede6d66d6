"""What a machine is brought is what its own card needs."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.offer_specs import save_offer_specs
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.spec import RunSpec
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import LABEL, intent, offer


class Machine:
    """A door that takes files into a folder, and is ready at once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, False
        folder.mkdir()

    def upload(self, path: Path, name: str) -> None:
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
    mirror, machine = Mirror(folder), Machine(tmp_path / "machine")

    follower = Follower(LABEL, mirror, store=store, reach=lambda record: None, now=read_now, stop=threading.Event())
    follower._furnish(machine)  # type: ignore[arg-type]
    mirror.close()

    assert machine.started
    there = RunSpec.from_json((machine.folder / "spec.json").read_text())
    assert (there.precision, there.learning_rate) == (precision, spec.learning_rate)
