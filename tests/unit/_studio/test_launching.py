"""Launching on machines for rent, and going on there: what is written down, without anything being bought."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio._studio.machines import Machines
from peft_studio.core.errors import OverBudget, RentError, SpecError
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.rent.meter import end_reading, read_machine
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.offer_specs import load_spec_for
from peft_studio.core.services.run import Run
from tests.emulators.runpod import Cloud, make_gpu
from tests.unit._studio.test_renting import KEY
from tests.unit._studio.test_renting import cloud as cloud  # fixtures
from tests.unit._studio.test_renting import spec as spec
from tests.unit._studio.test_renting import studio as studio
from tests.unit.core.services.rent.world import machine


@pytest.fixture
def launch(studio: Studio, spec: Any, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Launch on these cards in this order. Nobody watches, so nothing is bought."""
    monkeypatch.setattr(Machines, "ensure_watched", lambda self: None)
    cloud.gpus.append(make_gpu("Tesla T4", 16, secure=0.2))
    studio.connect("runpod", key=KEY)
    yield lambda *gpus, **caps: studio.launch(spec, compute=[studio.offers(gpu=gpu)[0] for gpu in gpus], **caps)
    assert not cloud.pods


def end(studio: Studio, run: Run, *, hours: float) -> None:
    """Its machine has lived so long, and its budget has ended it."""
    store, began = studio._machines.desk.store, read_now()
    record = store.list_run(run.id)[-1]
    held = store.claim(record.label, "t", began, hold_s=90)
    assert held
    done = replace(held.done, asked_at=began, made="made", leaving="budget", closed_at=began)  # type: ignore[arg-type]
    price = str(record.intent.offers[0].usd_per_hour)
    read = read_machine(replace(held, done=done), machine(price=price), began)
    store.add_readings([read, end_reading(read, replace(held, done=done), began.later(hours * 3600))])
    store.write(held, "t", done)
    mirror = Mirror(run.folder)
    mirror.say(ev.MachineRented(provider="runpod", label=record.label, gpu="", usd_per_hour=price))
    mirror.say(ev.Finished(state="stopped"))
    mirror.close()


def test_each_offer_gets_the_spec_of_its_card(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The first bf16; the one it falls back on has none, and you are told so. The run's own spec is that of the first."""
    run = launch("L4", "T4")
    first, second = run._compute._store.list_run(run.id)[-1].intent.offers
    assert [load_spec_for(run.folder, one).precision for one in (first, second)] == ["bf16", "fp16"]
    assert (run.spec.precision, load_spec_for(run.folder, second).learning_rate) == ("bf16", run.spec.learning_rate)
    assert "On Tesla T4 of runpod: precision fp16, not bf16." in capsys.readouterr().err


def test_what_its_budget_stopped_goes_on_with_a_higher_cap_alone(
    launch: Any, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused while the cap is used up, with the way on; then another machine is wanted, within what the new cap leaves."""
    run = launch("L4", max_usd=1, max_hours=5)
    end(studio, run, hours=2.5)  # at $0.39
    spent = run.cost
    assert Decimal("0.97") < spent < 1  # with its disk
    with pytest.raises(OverBudget, match=r"run\.resume\(max_usd=…\)"):
        run.resume()
    with pytest.raises(OverBudget, match="is its cap in all"):
        run.resume(max_usd=0.9)
    assert len(studio._machines.desk.store.list_run(run.id)) == 1

    monkeypatch.setattr("peft_studio.core.services.run.wait_for_job", lambda run, before: None)  # nobody watches
    run.resume(max_usd=2)
    wanted = studio._machines.desk.store.list_run(run.id)[-1].intent
    assert (wanted.attempt, wanted.budget_usd, wanted.wanted_life_s) == (2, Decimal(2), 5 * 3600.0)
    assert wanted.lifetime_s == pytest.approx(float((2 - spent) / Decimal("0.39") * 3600))
    assert run.meter
    assert run.meter.cap_usd == 2


def test_a_refused_launch_leaves_no_run(launch: Any, studio: Studio) -> None:
    """Neither a cap that is used up, nor a damaged file of rented machines."""
    studio.spend_cap = 0
    with pytest.raises(OverBudget):
        launch("L4")
    file = studio.home / "rent" / "rentals.sqlite"
    studio._machines.desk.store.close()
    file.write_bytes(b"no database " * 400)
    with pytest.raises(RentError, match="damaged"):
        launch("L4")
    assert not list((studio.home / "runs").iterdir())
    assert not studio.runs()


def test_a_run_at_home_has_no_caps(studio: Studio, spec: Any) -> None:
    """Resuming it with one is an error, and starts nothing."""
    folder = studio._store().create(spec)
    mirror = Mirror(folder)
    mirror.say(ev.Finished(state="stopped"))
    mirror.close()
    with pytest.raises(SpecError, match="costs no rent"):
        studio.run(folder.id).resume(max_usd=5)
    assert studio.run(folder.id).state == "stopped"
