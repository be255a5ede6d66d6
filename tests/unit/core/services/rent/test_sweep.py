"""When a machine of nobody's is ended without a word of a person's."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.store import Stray
from peft_studio.core.services.rent.sweep import OVERDUE_S, is_overdue
from tests.unit.core.services.rent.world import at

DAY_S = 86_400.0
END_S = at(DAY_S).wall_s
THEIRS = Stray("alpha", "i9", "ps-bbbbbb-x-1-7fffffff", Decimal(2), ours=False, ends_at_s=END_S)


@pytest.mark.parametrize(("passed_s", "due"), [(0.0, False), (DAY_S + OVERDUE_S - 1, False), (DAY_S + OVERDUE_S, True)])
def test_an_hour_past_its_own_end(passed_s: float, due: bool) -> None:
    """Not before."""
    assert is_overdue(THEIRS, at(passed_s), at(0)) is due


@pytest.mark.parametrize("set_by_s", [2 * DAY_S, 3 * DAY_S])
def test_not_by_a_clock_that_was_set(set_by_s: float) -> None:
    """One of the two times was wrong: which, nobody here can tell."""
    now = Moment(at(60).wall_s + set_by_s, at(60).steady_s, at(0).boot)
    assert not is_overdue(THEIRS, now, at(0))
