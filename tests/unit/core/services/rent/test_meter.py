"""What is still to be paid goes by true seconds, wherever the clock is set to."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peft_studio.core.compute.ledger import total
from peft_studio.core.services.rent.meter import EVER_S, build_lives, end_reading, left_usd
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.store import Reading
from tests.simulator.memory_store import MemoryStore
from tests.unit.core.services.rent.world import HOME, LABEL, RUN, at, intent, made, record

DAY_S = 86_400.0


@pytest.mark.parametrize("set_by_s", [0.0, DAY_S, -DAY_S, 40 * DAY_S])
def test_a_clock_that_is_set_bills_no_day(set_by_s: float) -> None:
    """Half an hour at two dollars an hour is a dollar, and leaves four of five."""
    begin = at(1)
    now = Moment(at(1801).wall_s + set_by_s, at(1801).steady_s, at(0).boot)
    reading = Reading(LABEL, "i1", begin.wall_s, "all", Decimal(2))
    lives = build_lives([record(made(asked_at=begin))], [reading], now=now)
    assert total(lives, -EVER_S, EVER_S, now_s=now.wall_s).usd == Decimal(1)

    store = MemoryStore(HOME, lambda what: None)
    kept = store.put(intent(budget_usd=Decimal(5)))
    held = store.claim(LABEL, "t", at(1), hold_s=90)
    assert held
    store.write(held, "t", made(asked_at=begin))
    store.add_readings([reading])
    assert kept.intent.run_id == RUN
    assert left_usd(store, kept, now) == Decimal(4)


def test_a_machine_of_which_no_clock_tells_the_end_is_counted_with_its_whole_life() -> None:
    """Set back a day and started anew in between: no cap is overdrawn by what is bought after it."""
    one = record(made(asked_at=at(1)), lifetime_s=3600.0)
    last = Reading(LABEL, "i1", at(1).wall_s, "all", Decimal(2))
    assert end_reading(last, one, at(900, boot="later", wall=-DAY_S)).at_s == at(3601).wall_s
    assert end_reading(last, one, at(900)).at_s == at(900).wall_s
