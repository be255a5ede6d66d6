"""What is due before a machine's end: a warning, then saving, in time and not long before. Chains of it are the simulator's to try."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peft_studio.core.services.rent.alarms import build_alarms
from peft_studio.core.services.rent.decide import decide
from peft_studio.core.services.rent.limits import LIMITS
from peft_studio.core.services.rent.record import Done, Wish
from peft_studio.core.services.rent.saving import lead_s, say_due
from tests.unit.core.services.rent.world import at, machine, made, record, seen

TRAINS = Wish(ready=True)


def after(
    second: float,
    *,
    wish: Wish = TRAINS,
    left_usd: Decimal | None = None,
    done: Done | None = None,
    life_s: float = 7200.0,
) -> Done:
    """What is on disk after a look at that second."""
    one = record(done or made(), wish, lifetime_s=life_s)
    return decide(one, seen(second, machine()), at(second), left_usd=left_usd).done


@pytest.mark.parametrize(
    ("life_s", "took_s", "lead"),
    [(7200.0, None, 240.0), (7200.0, 60.0, 240.0), (7200.0, 400.0, 800.0), (7200.0, 9000.0, 3600.0), (400.0, None, 100.0), (400.0, 150.0, 200.0)],
)  # fmt: skip
def test_it_begins_to_save_early_enough_by_what_that_took(life_s: float, took_s: float | None, lead: float) -> None:
    """Twice the measured time, four minutes at least; a short life gives a quarter, half where so much is known to be needed."""
    assert lead_s(record(made(), Wish(took_s=took_s), lifetime_s=life_s), LIMITS) == lead


def test_the_longest_life_is_warned_of_then_saved_for_and_then_ends_it() -> None:
    """One after the other, none of them early: at four fifths, four minutes before, at its end. Its age counts from second 1."""
    seconds = (5700, 5762, 6950, 6962, 7200, 7202)
    told = [after(second) for second in seconds]
    assert [one.warned for one in told] == [None, *["lifetime"] * 4, None]
    assert [one.saving for one in told] == [None, None, None, "lifetime", "lifetime", None]
    assert [one.leaving for one in told] == [None, None, None, None, None, "lifetime"]


def test_a_budget_is_saved_for_before_the_ninety_seconds_in_which_it_ends_it() -> None:
    """At $2/h: 330 s are 90 s of ending and four minutes of saving before them."""
    of = {usd: after(60, left_usd=Decimal(usd), life_s=7200) for usd in ("1.00", "0.80", "0.19", "0.18", "0.05")}
    assert [one.warned for one in of.values()] == [None, "budget", "budget", "budget", None]
    assert [one.saving for one in of.values()] == [None, None, None, "budget", None]
    assert [one.leaving for one in of.values()] == [None] * 4 + ["budget"]


def test_what_has_learned_nothing_has_nothing_to_save() -> None:
    """It is neither warned of nor stopped: its cap ends it."""
    done = after(7000, wish=Wish(moved_at=at(6999)))
    assert (done.warned, done.saving, done.leaving) == (None, None, None)


def test_one_that_is_not_there_is_not_asked_to_save() -> None:
    """Its run is not being stopped, and may go on elsewhere. Where no list can be had it is as before."""
    lacking = decide(record(made(), TRAINS, lifetime_s=7200.0), seen(6900), at(6900)).done
    one = record(lacking, TRAINS, lifetime_s=7200.0)
    assert len(lacking.absent) == 1

    assert decide(one, seen(6970), at(6970)).done.saving is None
    assert decide(one, None, at(6970)).done.saving == "lifetime"
    assert decide(one, seen(6970, machine()), at(6970)).done.saving == "lifetime"


def test_saving_is_not_taken_back() -> None:
    """A cap that is raised meanwhile finds a trainer that was asked to stop already."""
    first = after(60, left_usd=Decimal("0.18"))
    assert (after(90, left_usd=Decimal(9), done=first).saving, first.saving_at) == ("budget", at(60))


def test_what_idles_is_to_save_and_goes_when_it_had_its_time() -> None:
    """Saved or not: a frozen trainer hears nothing."""
    told = after(60, wish=Wish(ready=True, idle="stop"))
    assert (told.saving, told.leaving) == ("idle", None)
    idle = Wish(ready=True, idle="stop")
    assert after(299, wish=idle, done=told).leaving is None
    assert after(300, wish=idle, done=told).leaving == "idle"
    coming = Wish(ready=True, idle="stop", fetching=True)
    assert after(300, wish=coming, done=told).leaving is None
    assert after(60 + 1800, wish=coming, done=told).leaving == "idle"
    assert after(60, wish=Wish(ready=True, idle="warn")).saving is None


def test_what_is_due_is_an_alarm_until_it_leaves() -> None:
    """In words for a person, with its dollars a day; the loudest of what is due."""
    near = record(after(5762), TRAINS, lifetime_s=7200.0)
    [alarm] = build_alarms([near], [], at(5762))
    assert (alarm.kind, alarm.usd_per_day, alarm.loud) == ("cap", Decimal(48), False)
    assert "Four fifths of how long its machine may live are over." in alarm.text
    idle = record(after(60, wish=Wish(idle="stop")), Wish(ready=True, idle="stop"))
    assert [code for code, *_ in say_due(idle)] == ["gpu_idle", "gpu_idle_stop"]
    assert [(one.kind, one.loud) for one in build_alarms([idle], [], at(60))] == [("idle", True)]
    assert build_alarms([record(made(leaving="lifetime", leaving_at=at(60)), TRAINS)], [], at(61)) == []


def test_one_that_trains_and_is_not_heard_is_an_alarm_while_it_is_listed() -> None:
    """After nine minutes; not where it is not there any more, or is to go: that has words of its own."""
    unheard = Wish(ready=True, moved_at=at(60))
    assert build_alarms([record(made(), unheard)], [], at(599)) == []
    [alarm] = build_alarms([record(made(), unheard)], [], at(780))
    assert (alarm.kind, alarm.usd_per_day, alarm.loud) == ("silent", Decimal(48), False)
    assert "last heard 12 m ago, and alpha still lists it" in alarm.text
    assert build_alarms([record(made(absent=(at(100),)), unheard)], [], at(780)) == []
    assert build_alarms([record(made(leaving="stopped", leaving_at=at(700)), unheard)], [], at(701)) == []
