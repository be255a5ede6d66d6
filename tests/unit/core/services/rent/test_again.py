"""A run that goes on: its cap counts all that it has cost, and is never quietly one that buys nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import OverBudget, RentError, SpecError
from peft_studio.core.services.rent.again import NewCaps, least_usd, read_again, suggest_again_usd
from peft_studio.core.services.rent.desk import Desk
from peft_studio.core.services.rent.meter import end_reading, read_machine
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from tests.unit.core.services.rent.world import RUN, at, intent, machine, made, offer

STOPPED = intent(budget_usd=Decimal(2), lifetime_s=3600.0, asked_life_s=86_400.0, keep_s=1200.0, idle_s=None)


def test_what_is_not_said_anew_stands() -> None:
    """The life is the one that was asked for; both waits stay."""
    caps = read_again(STOPPED, NewCaps(), spent_usd=Decimal(1))
    assert (caps.budget_usd, caps.lifetime_s, caps.keep_s, caps.idle_s) == (Decimal(2), 86_400.0, 1200.0, None)
    raised = read_again(STOPPED, NewCaps("$5", 2), spent_usd=Decimal("1.98"))
    assert (raised.budget_usd, raised.lifetime_s, raised.keep_s) == (Decimal(5), 7200.0, 1200.0)
    uncapped = replace(STOPPED, budget_usd=None)
    assert read_again(uncapped, NewCaps(), spent_usd=Decimal(9)).budget_usd is None
    assert read_again(uncapped, NewCaps(10), spent_usd=Decimal(9)).budget_usd == 10


@pytest.mark.parametrize(
    ("max_usd", "said"),
    [(None, r"has cost \$1.98 of the \$2.00"), (2, "does not pay for 6 minutes"), (1.98, "is not above that"), (1, "is not above that"), ("0", "not above")],
)  # fmt: skip
def test_a_cap_that_pays_for_nothing_is_refused_with_one_that_does(max_usd: Any, said: str) -> None:
    """It says that the cap is in all, and what is the least; that is taken."""
    with pytest.raises(OverBudget, match=said) as caught:
        read_again(STOPPED, NewCaps(max_usd), spent_usd=Decimal("1.98"))
    least = least_usd(Decimal("1.98"), Decimal(3))  # six minutes of the dearest, at $3/h
    assert str(least) == "2.28"
    assert "run.resume(max_usd=" in caught.value.hint
    assert f"${least}" in caught.value.hint
    assert caught.value.fields == ("max_usd",)
    assert read_again(STOPPED, NewCaps(least), spent_usd=Decimal("1.98")).budget_usd == least


@pytest.mark.parametrize("new", [NewCaps("much"), NewCaps("nan"), NewCaps(-1), NewCaps(9, 0.01), NewCaps(None, 10_000)])
def test_what_is_no_cap_is_refused(new: NewCaps) -> None:
    """As at a launch."""
    with pytest.raises(SpecError):
        read_again(STOPPED, new, spent_usd=Decimal(1))


def test_what_costs_nothing_needs_no_cap() -> None:
    """A cluster goes on whatever stands there."""
    free = replace(STOPPED, offers=(offer(price="0"),))
    assert read_again(free, NewCaps(), spent_usd=Decimal(2)).budget_usd == 2


@pytest.mark.parametrize(
    ("spent", "share", "cap", "proposed"),
    [("1.98", 0.6, "2", "4.40"), ("1.98", None, "2", "4.70"), ("0.5", 0.0, "2", "3.20"), ("30", 0.9, "30", "35.00"), ("1", None, None, "2.70")],
)  # fmt: skip
def test_the_cap_that_is_proposed_pays_for_the_rest(
    spent: str, share: float | None, cap: str | None, proposed: str
) -> None:
    """At the rate of before and a quarter more, with a start and the wait at the end; it is always one that is taken."""
    found = suggest_again_usd(Decimal(spent), Decimal(2), share=share, cap_usd=Decimal(cap) if cap else None)
    assert str(found) == proposed
    assert found >= least_usd(Decimal(spent), Decimal(2))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Of a home whose run had a machine at $2/h for an hour less a minute, and a cap of $2; it is closed."""
    store = SqliteStore(tmp_path / "rent")
    desk = Desk(store, now=lambda: at(4000))
    first = store.put(intent(budget_usd=Decimal(2), asked_life_s=86_400.0, lifetime_s=3600.0, offers=(offer(),)))
    held = store.claim(first.label, "t", at(1), hold_s=90)
    assert held
    done = made(leaving="budget", closed_at=at(3800))
    store.add_readings([read := read_machine(replace(first, done=done), machine(), at(1))])
    store.add_readings([end_reading(read, replace(first, done=done), at(3541))])
    store.write(held, "t", done)
    return desk


def test_a_run_goes_on_within_what_its_new_cap_leaves(desk: Desk) -> None:
    """$2 are all but used up; $4 in all leave two dollars and some, and the machine itself is given no longer life than they pay for."""
    assert round(desk.spent_usd(RUN), 2) == Decimal("1.97")
    with pytest.raises(OverBudget, match="It counts what the run has cost"):
        desk.order_again(RUN)
    assert len(desk.store.list_run(RUN)) == 1
    again = desk.order_again(RUN, NewCaps(4)).intent
    assert (again.attempt, again.budget_usd, again.wanted_life_s) == (2, Decimal(4), 86_400.0)
    assert again.lifetime_s == pytest.approx((4 - 3540 / 1800) / 2 * 3600)
    with pytest.raises(RentError, match="has a machine"):
        desk.order_again(RUN, NewCaps(9))


def test_the_cap_of_the_month_stands(desk: Desk) -> None:
    """It counts the same dollars; it bounds what goes on, and where it leaves nothing it is named."""
    desk.store.set_month_cap(Decimal("1.98"))
    with pytest.raises(OverBudget, match="less than two minutes") as caught:
        desk.order_again(RUN, NewCaps(9))
    assert "studio.spend_cap" in caught.value.hint
    desk.store.set_month_cap(Decimal("2.47"))
    assert desk.order_again(RUN, NewCaps(9)).intent.lifetime_s == pytest.approx((2.47 - 3540 / 1800) / 2 * 3600)


def test_a_run_of_which_nothing_is_known_is_not_bought_for(desk: Desk) -> None:
    """Nor does it crash."""
    with pytest.raises(RentError, match="no machine is on record"):
        desk.order_again("r-unknown")
