"""The Spend panel on a home whose records were made by hand, with a page at the other end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio._studio import spending
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Done, EndAsked
from peft_studio.widgets.run import open_run
from tests.made_run import RUN_ID, write_made_run
from tests.rent_home import RentHome
from tests.ui.hostile import HOSTILE
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]
OTHER = "r-20261126-101112-00000b"


@pytest.fixture
def rented(tmp_path: Path) -> RentHome:
    return RentHome(tmp_path / "home")


@pytest.fixture
def studio(rented: RentHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """On a home that seems to be watched, with no provider connected."""
    monkeypatch.delenv("PEFT_STUDIO_CONNECTORS", raising=False)
    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)  # the home is watched no more when its turn would come
    with rented.watched():
        yield Studio(home=tmp_path / "home")


@pytest.fixture
def show(studio: Studio, open_browser: OpenBrowser) -> Callable[[], Browser]:
    """Opens the panel, once it shows something."""

    def show() -> Browser:
        browser = open_browser(lambda: studio.panel("spend"))
        browser.wait(lambda: "totals" in browser.sections)
        return browser

    return show


def test_nothing_was_ever_rented(show: Callable[[], Browser], studio: Studio) -> None:
    """Nothing is shown as nothing, and looking makes no file. A cap can be set all the same."""
    page = show()
    assert [one["usd"] for one in page.sections["totals"]] == ["$0"] * 4
    assert (page.sections["runs"], page.sections["machines"], page.sections["connected"]) == ([], [], False)
    assert not (studio.home / "rent" / "rentals.sqlite").exists()
    assert page.command("set_cap", usd="25")["ok"]
    assert studio.spend_cap == 25


def test_dollars_are_words(rented: RentHome, studio: Studio, show: Callable[[], Browser]) -> None:
    """Counted and rounded here: totals, days with their shares, providers, runs with dollars an epoch, the meter, the cap."""
    write_made_run(studio.home)
    rented.rent(RUN_ID, hours_ago=26, lasted_h=2)
    rented.rent(OTHER, provider="vastai", hours_ago=0.001, usd_per_hour="1.20")
    studio.spend_cap = "10"
    page = show().sections
    assert page["totals"][-1]["note"] == "estimated"
    assert page["totals"][-1]["usd"].startswith("$0.80")
    assert page["series"] == ["RunPod", "Vast.ai"]
    assert len(page["days"]) == 14
    assert max(share for day in page["days"] for _, _, share in day["parts"]) <= 1
    assert (page["now"]["machines"], page["now"]["rate"], page["now"]["per_day"]) == (1, "$1.20/h", "$28.80")
    first = next(one for one in page["runs"] if one["id"] == RUN_ID)
    assert first["epoch"].startswith("$") or first["epoch"] == "<$0.01"
    assert next(one for one in page["runs"] if one["id"] != RUN_ID)["name"] == OTHER
    assert (page["cap"]["value"], page["cap"]["over"]) == ("10", False)
    in_a_cell: dict[str, Any] = {}
    exec(page["code"], in_a_cell)
    assert in_a_cell["studio"].spend_cap == 10


def test_a_cap_that_is_no_amount_is_refused(rented: RentHome, studio: Studio, show: Callable[[], Browser]) -> None:
    """With the reason; what was set before stays; nothing takes it away; below what was spent it is used up."""
    rented.rent(hours_ago=0.5)
    page = show()
    assert page.command("set_cap", usd="0.01")["ok"]
    assert (page.sections["cap"]["over"], page.sections["cap"]["share"]) == (True, 1.0)
    assert "no amount" in page.command("set_cap", usd="a lot")["problem"]["message"]
    assert studio.spend_cap == Decimal("0.01")
    assert page.command("set_cap", usd=" ")["ok"]
    assert studio.spend_cap is None


def test_a_machine_is_ended_once_it_was_confirmed(
    rented: RentHome, studio: Studio, show: Callable[[], Browser]
) -> None:
    """Not without the dialog; a machine by its label, a stray by its id; both are leaving after it."""
    record, stray = rented.rent(), rented.stray()
    page = show()
    assert [one["key"] for one in page.sections["machines"]] == [record.label, stray.instance_id]
    assert page.sections["machines"][1]["per_day"] == "$48.00"
    assert [alarm["kind"] for alarm in page.sections["alarms"]] == ["stray"]
    assert not page.command("end", key=record.label)["ok"]
    assert rented.store.find(record.label).wish.end is None  # type: ignore[union-attr]
    assert page.command("end", key=record.label, confirmed=True)["ok"]
    assert page.command("end", key=stray.instance_id, confirmed=True)["ok"]
    assert rented.store.find(record.label).wish.end == "stopped"  # type: ignore[union-attr]
    assert rented.store.find(stray.label) is not None
    assert all(one["leaving"] for one in page.sections["machines"])


def test_a_dearer_price_is_taken_by_the_one_that_was_shown(rented: RentHome, show: Callable[[], Browser]) -> None:
    """It waits for a yes; another price than that is not agreed to; with the yes, there is nothing left to ask."""
    record = rented.rent(done=Done(usd_per_hour=Decimal("1.52"), asking_at=read_now()))
    page = show()
    machine = page.sections["machines"][0]
    assert (machine["asks"], machine["rate"], machine["state"]) == (
        True,
        "$1.52/h",
        "waiting for your yes to its price",
    )
    assert [alarm["kind"] for alarm in page.sections["alarms"]] == ["price"]
    assert "another one" in page.command("agree", key=record.label, shown="$1.00/h")["problem"]["message"]
    assert page.command("agree", key=record.label, shown="$1.52/h")["ok"]
    found = rented.store.find(record.label)
    assert found is not None
    assert found.wish.price_ok == Decimal("1.52")
    assert (page.sections["machines"][0]["asks"], page.sections["alarms"]) == (False, [])
    assert not page.command("agree", key=record.label, shown="$1.52/h")["ok"]


def test_an_alarm_says_what_it_costs(rented: RentHome, show: Callable[[], Browser]) -> None:
    """A machine that does not go: its sentence, and its dollars a day."""
    ago = read_now().later(-900)
    rented.rent(done=Done(leaving="budget", leaving_at=ago, ends=(EndAsked("x", 3, ago),)))
    page = show()
    alarm = page.sections["alarms"][0]
    assert (alarm["kind"], alarm["per_day"]) == ("not-gone", "$9.60")
    assert "$9.60" not in alarm["text"]
    assert "asked to end 3 times" in page.panel._repr_mimebundle_()["text/html"]


def test_an_alarm_calls_a_machine_by_its_run(rented: RentHome, studio: Studio, show: Callable[[], Browser]) -> None:
    """Its label is for providers' lists."""
    write_made_run(studio.home, name="orders")
    record = rented.rent(RUN_ID, done=Done(trouble="it answers 503", trouble_at=read_now().later(-3600)))
    (alarm,) = show().sections["alarms"]
    assert (alarm["text"], alarm["label"]) == ("orders at RunPod: it answers 503", record.label)


def test_what_is_free_is_no_charge(rented: RentHome, studio: Studio) -> None:
    """A place on a cluster has a meter that stands still."""
    write_made_run(studio.home)
    rented.rent(RUN_ID, provider="ray", usd_per_hour="0")
    assert open_run(studio, RUN_ID).sections()["meter"]["rate"] == "no charge"


def test_hostile_words_are_cleaned(rented: RentHome, show: Callable[[], Browser]) -> None:
    """A provider's words reach the page without control characters, and the picture as text."""
    rented.rent(gpu="A100 <b>\x1b[2J", done=Done(trouble="".join(HOSTILE)[:500]))
    page = show()
    assert "\\u001b" not in json.dumps(page.sections["machines"])
    assert "<b>" not in page.panel._repr_mimebundle_()["text/html"]


def test_the_run_panel_shows_what_a_rented_run_costs(rented: RentHome, studio: Studio) -> None:
    """Spent, rate, cap, machine; nothing of it for a run on this machine."""
    write_made_run(studio.home)
    assert open_run(studio, RUN_ID).sections()["meter"] is None
    record = rented.rent(RUN_ID, hours_ago=1, usd_per_hour="1.00", budget_usd="4")
    content = open_run(studio, RUN_ID)
    meter = content.sections()["meter"]
    assert (meter["spent"], meter["note"], meter["rate"], meter["cap"]) == ("$1.00", "estimated", "$1.00/h", "$4.00")
    assert (meter["provider"], meter["gpu"], meter["label"]) == ("RunPod", "NVIDIA L4", record.label)
    assert meter["share"] == pytest.approx(0.25, abs=0.01)
    assert "$1.00 estimated, RunPod" in content.snapshot_html()


def test_a_name_opens_its_run(rented: RentHome, studio: Studio, show: Callable[[], Browser]) -> None:
    """The session's run, in the step Run; one that is not here is an error."""
    write_made_run(studio.home)
    rented.rent(RUN_ID)
    page = show()
    assert page.command("open_run", run_id=RUN_ID)["ok"]
    assert (studio.session.now.run_id, studio.session.now.panel) == (RUN_ID, "run")
    assert not page.command("open_run", run_id=OTHER)["ok"]
