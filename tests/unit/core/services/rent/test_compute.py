"""A run on a rented machine is asked for like one at home."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from peft_studio.core.errors import OverBudget, RunStateError
from peft_studio.core.runs.checkpoints import checkpoint_path, list_steps
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.services.rent.again import NewCaps
from peft_studio.core.services.rent.compute import RentedCompute
from peft_studio.core.services.rent.label import build_label
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.store import Stray
from peft_studio.core.services.rent.sweep import adopt
from tests.unit.core.services.rent.world import LABEL, at, intent


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run with three checkpoints."""
    made = RunFolder(tmp_path / "runs" / "r-20261126-101112-00000a")
    for step in (2, 4, 6):
        checkpoint_path(made.checkpoints, step).mkdir(parents=True)
    return made


def test_a_resume_goes_on_from_the_step_that_was_named(tmp_path: Path, folder: RunFolder) -> None:
    """What is sent is the newest checkpoint, so later ones are gone by then."""
    rented: list[str] = []
    compute = RentedCompute(
        "runpod", SqliteStore(tmp_path / "rent"), rent=lambda run, new: rented.append(run.id), reach=lambda record: None
    )
    compute.submit_job(folder, from_step=4)
    assert (rented, list_steps(folder.checkpoints)) == ([folder.id], [2, 4])


def test_what_is_not_rented_loses_nothing(tmp_path: Path, folder: RunFolder) -> None:
    """A cap that leaves nothing refuses the machine before any checkpoint is deleted."""

    def refuse(run: RunFolder, new: NewCaps) -> None:
        raise OverBudget("too dear")

    compute = RentedCompute("runpod", SqliteStore(tmp_path / "rent"), rent=refuse, reach=lambda record: None)
    with pytest.raises(OverBudget):
        compute.submit_job(folder, from_step=0)
    assert list_steps(folder.checkpoints) == [2, 4, 6]


def test_a_resume_while_its_machine_is_being_ended_is_refused(
    tmp_path: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would seem to go on, and nobody would train it. One whose machine is wanted is left alone."""
    store, rented = SqliteStore(tmp_path / "rent"), list[str]()
    store.put(replace(intent(), run_id=folder.id))
    compute = RentedCompute("runpod", store, rent=lambda run, new: rented.append(run.id), reach=lambda record: None)
    compute.submit_job(folder, from_step=4)
    with pytest.raises(RunStateError, match="keeps the caps"):
        compute.resume_job(folder, from_step=4, max_usd=9)
    store.wish_end(LABEL, "stopped")
    monkeypatch.setattr("peft_studio.core.services.rent.compute.GONE_S", 0.0)
    with pytest.raises(RunStateError, match="not proven gone"):
        compute.submit_job(folder, from_step=4)
    assert (rented, list_steps(folder.checkpoints)) == ([], [2, 4, 6])


def test_a_stray_that_was_ended_takes_nothing_of_what_a_resume_asks(tmp_path: Path, folder: RunFolder) -> None:
    """It is on record after the run's attempts, and has neither price nor cap: the Run panel would have gone on without a question."""
    store = SqliteStore(tmp_path / "rent")
    store.put(intent(run_id=folder.id, budget_usd=Decimal(5)))
    lost = Stray("alpha", "i9", build_label(store.home_tag(), folder.id, 2, ends_at_s=1.8e9), None, ours=True)
    store.put(adopt(lost, at(9)))
    meter = RentedCompute("alpha", store, rent=lambda run, new: None, reach=lambda record: None).read_meter(folder)
    assert meter
    assert (meter.dearest_usd_per_hour, meter.cap_usd, meter.label) == (Decimal(3), Decimal(5), LABEL)


def test_a_stop_that_cannot_reach_a_training_machine_ends_nothing(tmp_path: Path, folder: RunFolder) -> None:
    """A process without the provider's key cannot save; what was learned is not thrown away for that."""
    store = SqliteStore(tmp_path / "rent")
    wanted = replace(intent(), run_id=folder.id)
    store.put(wanted)
    store.wish_moved(wanted.label, wanted.at, ready=True)
    compute = RentedCompute("runpod", store, rent=lambda _, __: None, reach=lambda _: None)
    with pytest.raises(RunStateError, match="cannot be reached"):
        compute.stop_job(folder, save=True)
    [record] = store.list_run(folder.id)
    assert not record.wish.end
    compute.stop_job(folder, save=False)
    [record] = store.list_run(folder.id)
    assert record.wish.end == "stopped"
