"""What rented machines cost, which there are, and that they are watched: on a home whose records were made by hand."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio._studio import spending
from peft_studio.cli import main
from peft_studio.connectors.base import door, patience
from peft_studio.core.errors import RentError, SpecError
from peft_studio.core.ports import OfferQuery, Rent
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.rent.label import build_label
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Done, EndAsked
from peft_studio.core.services.rent.store import Bill
from tests.conftest import wait_for
from tests.emulators.machine import Machines
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod
from tests.made_run import RUN_ID, write_made_run
from tests.rent_home import RUN, RentHome


@pytest.fixture
def rented(tmp_path: Path) -> RentHome:
    return RentHome(tmp_path / "home")


@pytest.fixture
def studio(rented: RentHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """On a home that seems to be watched; what is begun in the background when it is opened does not come to its turn."""
    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)
    with rented.watched():
        yield Studio(home=tmp_path / "home")


def test_a_home_that_never_rented_has_spent_nothing(tmp_path: Path) -> None:
    """Asking makes no records, and everything is an honest nothing."""
    studio = Studio(home=tmp_path / "home")
    spent = studio.spend()
    assert (spent.ever.usd, spent.usd_per_hour, spent.cap_usd, list(spent.to_pandas().index)) == (0, 0, None, [])
    assert repr(studio.rentals()) == "No machine is rented."
    assert not (tmp_path / "home" / "rent").exists()
    with pytest.raises(RentError, match="No machine 'x'"):
        studio.rentals().end("x")


def test_spend_by_time_provider_and_run(rented: RentHome, studio: Studio) -> None:
    """Two hours at $0.40 that ended, and one at $1.20 that goes on; what is on the meter is that one alone."""
    rented.rent(hours_ago=24 * 40, lasted_h=2)
    rented.rent("r-20261126-101112-00000b", provider="vastai", hours_ago=0.01, usd_per_hour="1.20")
    spent = studio.spend()
    assert spent.ever.usd - spent.month.usd == Decimal("0.80")
    assert set(spent.by_provider) == {"vastai"}
    assert spent.by_run[RUN].usd == Decimal("0.80")
    assert (spent.usd_per_hour, [meter.provider for meter in spent.meters]) == (Decimal("1.20"), ["vastai"])
    assert spent.ever.is_estimate
    assert "estimated" in repr(spent)
    assert "1 on the meter, $1.20/h" in repr(spent)
    frame = studio.spend().to_pandas()
    assert next(iter(frame["usd"])) == Decimal("0.80")
    assert frame["ended_at"].isna().tolist() == [False, True]


def test_a_bill_takes_the_place_of_the_estimate(rented: RentHome, studio: Studio) -> None:
    """For its time, to the cent, and it is said."""
    record = rented.rent(hours_ago=3, lasted_h=2)
    life = studio._machines.desk.lives()[0]
    begin, end = life.stretches[0].begin_s, life.stretches[-1].begin_s
    rented.store.add_bills([Bill(life.instance_id, begin, end, Decimal("0.83"))])
    spent = studio.spend()
    assert (spent.ever.usd, spent.ever.billed_usd) == (Decimal("0.83"), Decimal("0.83"))
    assert "$0.83 billed" in repr(spent)
    assert "$0.83 billed" in spent._repr_html_()
    assert studio._machines.desk.lives_of(record)[0].instance_id == life.instance_id


def test_dollars_an_epoch_where_the_plan_is_known(rented: RentHome, studio: Studio) -> None:
    """What was spent on a run, by the epochs that it has trained."""
    write_made_run(studio.home)
    rented.rent(RUN_ID, hours_ago=3, lasted_h=2)
    each = studio.spend().usd_per_epoch[RUN_ID]
    row = studio.runs().rows[0]
    assert row.step
    assert each > 0
    assert "an epoch" in repr(studio.spend())


def test_the_cap_of_the_month(rented: RentHome, studio: Studio) -> None:
    """Set, read, taken away; nonsense is refused."""
    rented.rent(hours_ago=0.02, usd_per_hour="1.00")
    studio.spend_cap = "50"
    assert studio.spend_cap == 50
    left = studio.spend().left_usd
    assert left is not None
    assert 49 < left <= 50
    for wrong in ("a lot", -1, float("nan")):
        with pytest.raises(SpecError):
            studio.spend_cap = wrong
    studio.spend_cap = None
    assert studio.spend_cap is None


def test_cost_of_a_rented_run(rented: RentHome, studio: Studio) -> None:
    """The ledger's sum over all its machines, live rate, cap and machine; a run of this machine costs nothing."""
    write_made_run(studio.home)
    assert (studio.run(RUN_ID).cost, studio.run(RUN_ID).meter, studio.run(RUN_ID).provider) == (0, None, "local")
    assert "cost" not in repr(studio.runs())
    rented.rent(RUN_ID, hours_ago=5, lasted_h=2)
    rented.rent(RUN_ID, hours_ago=1, usd_per_hour="1.00", budget_usd="5")
    run = studio.run(RUN_ID)
    assert Decimal("1.80") <= run.cost < Decimal("1.81")
    assert run.provider == "runpod"
    assert repr(studio.runs()).splitlines()[1].endswith("  $1.80")
    assert "$1.80" in studio.runs()._repr_html_()
    assert next(iter(studio.runs().to_pandas()["cost_usd"])) >= Decimal("1.80")
    meter = run.meter
    assert meter is not None
    assert (meter.usd_per_hour, meter.cap_usd, meter.gpu) == (1, 5, "NVIDIA L4")
    assert meter.until_s is not None
    assert meter.until_s > time.time()


@pytest.mark.parametrize("damage", ["file", "record"])
def test_runs_are_listed_whatever_the_file_of_rented_machines_is_like(
    rented: RentHome, studio: Studio, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of this machine is as ever; of a rented one all is known but what it costs, and that is said."""
    write_made_run(studio.home)
    rented.rent()
    folder = studio._store().create(studio.run(RUN_ID).spec)
    wanted = studio._store().create(studio.run(RUN_ID).spec)
    mirror = Mirror(folder)
    mirror.say(ev.MachineRented(provider="vastai", label="ps-x", gpu="", usd_per_hour="0.4"))
    mirror.say(ev.Finished(state="stopped"))
    mirror.close()
    if damage == "record":
        with rented.store.file.writing() as db:
            db.execute("UPDATE records SET intent = '{'")
            db.execute("UPDATE records SET run_id = ?", (folder.id,))
    else:
        rented.store.close()
        rented.store.path.write_bytes(b"no database " * 400)

    runs = studio.runs()
    assert {run.id: run.provider for run in runs if run.id != wanted.id} == {RUN_ID: "local", folder.id: "vastai"}
    assert (studio.run(RUN_ID).cost, studio.run(RUN_ID).meter) == (0, None)
    lines = {line.split()[0]: line.split()[-1] for line in repr(runs).splitlines()}
    assert (lines[RUN_ID], lines[folder.id]) == ("$0", "—")
    for shown in (repr(runs), runs._repr_html_()):
        assert "What rented runs cost is not known" in shown
        assert "damaged" in shown
    costs = dict(zip(runs.to_pandas()["id"], runs.to_pandas()["cost_usd"], strict=True))
    assert (costs[RUN_ID], costs[folder.id]) == (0, None)
    assert "cost" not in repr(studio.runs(provider="local", status="completed"))
    for refused in (lambda: studio.run(folder.id).cost, studio.run(folder.id).resume):
        with pytest.raises(RentError, match="damaged"):
            refused()
    assert main(["--home", str(studio.home), "runs"]) == 0
    assert {RUN_ID, folder.id} <= set(capsys.readouterr().out.split())


def test_machines_that_are_there(rented: RentHome, studio: Studio) -> None:
    """State in words, what it costs, until when; a stray with its dollars a day; what is gone is not among them."""
    rented.rent(hours_ago=9, lasted_h=1)
    rented.rent(hours_ago=1)
    rented.stray()
    rented.stray(ours=False, usd_per_hour=None)
    machine, stray, theirs = studio.rentals()
    assert (machine.run_id, machine.provider, machine.gpu, machine.state) == (RUN, "runpod", "NVIDIA L4", "training")
    assert Decimal("0.39") < machine.spent.usd < Decimal("0.41")
    assert machine.since_at is not None
    assert machine.until_at is not None
    assert (machine.until_at - machine.since_at).total_seconds() == 86_400
    assert (stray.kind, stray.usd_per_day, stray.run_id) == ("stray", 48, "r-20261101-000000-00000f")
    assert (theirs.usd_per_day, theirs.run_id) == (None, "")
    shown = repr(studio.rentals())
    assert "$48.00 a day" in shown
    assert "ALARM: pod-stray-ours at runpod is of this home" in shown


def test_what_is_not_gone_is_loud(rented: RentHome, studio: Studio) -> None:
    """An end that was asked for and not shown by the provider's list: first of the alarms, with what it costs."""
    long_ago = read_now().later(-600)
    asked = Done(leaving="budget", leaving_at=long_ago, ends=(EndAsked("x", 7, long_ago),), trouble="It says 500.")
    rented.rent(done=asked)
    rented.stray()
    listed = studio.rentals()
    assert [alarm.kind for alarm in listed.alarms] == ["not-gone", "stray"]
    assert listed[0].state == "ending (its cap is reached)"
    assert listed[0].leaving
    assert "asked to end 7 times" in repr(listed)
    assert "$9.60 a day" in listed._repr_html_()


def test_ending_is_asked_for_once(rented: RentHome, studio: Studio) -> None:
    """By run, label or id; the second time nothing is written; a stray gets a record that is to be gone."""
    record, stray = rented.rent(), rented.stray()
    assert studio.rentals().end(RUN) == [record.label]
    assert studio.rentals()[0].state == "ending (as you said)"
    assert studio.rentals().end(record.label) == []
    assert studio.rentals().end(stray.instance_id) == [stray.label]
    assert [row.kind for row in studio.rentals()] == ["machine", "machine"]
    assert studio.rentals()[1].leaving
    with pytest.raises(RentError, match="nobody"):
        studio.rentals().end("nobody")


def test_nothing_hostile_moves_the_cursor(rented: RentHome, studio: Studio) -> None:
    """A provider's words are shown as text, in a terminal and in a notebook."""
    rented.rent(gpu="\x1b[2J<b>A100", done=Done(trouble="<script>\x1b[31m"))
    listed = studio.rentals()
    assert "\x1b" not in repr(listed)
    assert "<script>" not in listed._repr_html_()


def test_opening_a_home_has_its_machines_watched(
    rented: RentHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reboot: a record is open and nobody watches. The process is started, once; where one watches, or nothing is open, none is."""
    started: list[Any] = []
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda self, *args, **more: started.append(args))
    monkeypatch.setattr(
        "peft_studio.core.services.rent.reconciler.start_watching", lambda *args, **more: started.append(args)
    )
    monkeypatch.setattr("peft_studio._studio.machines.start_watching", lambda *args, **more: started.append(args))
    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)
    rented.rent(lasted_h=0.5)
    assert not begins(tmp_path / "home")
    rented.rent()
    with rented.watched():
        assert not begins(tmp_path / "home")
    monkeypatch.setattr(spending, "BEGIN_S", 0.0)
    studio = Studio(home=tmp_path / "home")
    assert studio.home
    wait_for(lambda: started, "a process that watches")
    wait_for(lambda: not studio._starting, "the end of looking")
    assert len(started) == 1
    assert started[0][0] == tmp_path / "home"


def test_machines_are_shown_although_nobody_can_watch(
    rented: RentHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process cannot be started: what is there is listed, and that it is not watched is said."""

    def fail(*args: Any, **more: Any) -> None:
        raise OSError("no process left")

    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)
    monkeypatch.setattr("peft_studio._studio.machines.start_watching", fail)
    rented.rent()
    listed = Studio(home=tmp_path / "home").rentals()
    assert len(listed) == 1
    assert "Rented machines are not watched: no process left" in repr(listed)


def test_opening_a_home_says_what_it_lost(
    rented: RentHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine of this home without a record is said to whoever opens it, once, with its dollars a day; another home's is not."""
    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)
    rented.stray(ours=False)
    assert not begins(tmp_path / "home")
    rented.stray()
    monkeypatch.setattr(spending, "BEGIN_S", 0.0)
    studio = Studio(home=tmp_path / "home")
    assert studio.home
    wait_for(lambda: not studio._starting, "the end of looking")
    said = capsys.readouterr().err
    assert said.count("ALARM") == 1
    assert "pod-stray-ours at runpod is of this home" in said
    assert "$48.00 a day" in said
    studio._begin()
    assert not studio._starting


def begins(home: Path) -> bool:
    """Whether opening this home begins to look after machines."""
    studio = Studio(home=home)
    return bool(studio.home) and studio._starting


def test_a_reading_of_storage_alone_is_on_the_meter_with_its_disk(rented: RentHome, studio: Studio) -> None:
    """A machine that was stopped costs its disk and no more."""
    record = rented.rent(hours_ago=2)
    reading = rented.store.read_meter(RUN)[0]
    rented.store.add_readings([replace(reading, at_s=reading.at_s + 3600, billed="storage")])
    (meter,) = studio.spend().meters
    assert meter.usd_per_hour == 0
    assert record.label


KEY = "rpa_" + "A" * 40


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """RunPod, emulated, and no pauses."""
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    monkeypatch.delenv("PEFT_STUDIO_CONNECTORS", raising=False)
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    with Machines(tmp_path / "pods") as machines:
        made = Cloud(machines=machines, gpus=[make_gpu("NVIDIA L4", 24, secure=0.39)], keys={KEY: "all"})
        with serve_runpod(made) as (address, proxy):
            monkeypatch.setenv("RUNPOD_URL", address)
            monkeypatch.setenv("RUNPOD_PROXY_URL", proxy)
            yield made


def buy(studio: Studio, label: str) -> str:
    """A machine at the emulated provider that no record here stands for; its id."""
    rental = studio._machines.rentals()["runpod"]
    offer = rental.list_offers(OfferQuery()).offers[0]
    return rental.submit_job(Rent(label, offer, "sleep 600\n", disk_gib=20)).id


def test_a_lost_record_is_found_and_its_machine_ended(rented: RentHome, studio: Studio, cloud: Cloud) -> None:
    """The provider's list has it, with its dollars a day; one click later it is to be gone, and at the next look it is. Another's stays."""
    studio.connect("runpod", key=KEY, keep=False)
    label = build_label(rented.store.home_tag(), RUN, 1, ends_at_s=time.time() + 3600)
    mine, other = buy(studio, label), buy(studio, "ps-someone")
    assert list(studio.rentals()) == []
    listed = studio.rentals(refresh=True)
    found = {row.instance_id: row for row in listed}
    assert set(found) == {mine, other}
    assert (found[mine].state, found[mine].run_id) == ("no record of it here", RUN)
    assert found[mine].usd_per_day == Decimal("0.39") * 24
    assert listed.end(mine) == [label]
    after = next(row for row in studio.rentals() if row.label == label)
    assert (after.leaving, after.instance_id) == (True, mine)
    studio.rentals(refresh=True)
    assert set(cloud.pods) == {other}


def test_what_the_provider_charged_comes_on_asking(rented: RentHome, studio: Studio, cloud: Cloud) -> None:
    """By the hour, disk included, in the place of our count; asked again, nothing is open. Without a connection it says so."""
    studio.connect("runpod", key=KEY, keep=False)
    now_s = time.time()
    cloud.clock = lambda: now_s - 5 * 3600
    pod = buy(studio, "ps-a")
    cloud.clock = lambda: now_s - 3 * 3600
    studio._machines.rentals()["runpod"].end_instance(pod)
    cloud.clock = time.time
    rented.rent(hours_ago=5, lasted_h=2, usd_per_hour="0.39", instance_id=pod)
    assert studio.spend().ever.usd == Decimal("0.78")
    asked = studio.spend(refresh=True)
    assert [note.split()[-1] for note in asked.notes] == ["charges."]
    assert not asked.ever.is_estimate
    charged = float(sum(cloud.gone[0].spent(0, now_s).values()))
    assert float(asked.ever.usd) == pytest.approx(charged)
    assert charged > 0.78
    assert studio.spend(refresh=True).notes == ()
    studio.disconnect("runpod")
    rented.rent(hours_ago=2, lasted_h=1)
    assert studio.spend(refresh=True).notes == ("runpod: not connected, so it cannot be asked what it charged.",)


def test_a_provider_that_does_not_list_is_named(rented: RentHome, studio: Studio, cloud: Cloud) -> None:
    """No list is not an empty list."""
    studio.connect("runpod", key=KEY, keep=False)
    cloud.keys.clear()
    listed = studio.rentals(refresh=True)
    assert listed.warnings
    assert "runpod did not list its machines" in repr(listed)
