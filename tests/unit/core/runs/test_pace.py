"""How fast, and how long still."""

from __future__ import annotations

import pytest
from peft_studio.widgets._pace import Pace

from peft_studio.core.runs.metrics import Row


def steady(count: int, *, s_per_step: float = 2.0, start: int = 1, at: float = 0.0) -> list[Row]:
    return [Row(start + n, at + n * s_per_step, {"loss": 1.0, "tokens": (start + n) * 100.0}) for n in range(count)]


def test_a_steady_pace_is_exact() -> None:
    """Two seconds a step and a hundred tokens a step are fifty tokens a second and no range."""
    pace = Pace()
    pace.add(steady(40))

    left = pace.left(30)

    assert left is not None
    assert (left.value_s, left.low_s, left.high_s) == pytest.approx((60.0, 60.0, 60.0))
    assert pace.tokens_per_s() == pytest.approx(50.0)


def test_a_pace_that_changes_has_a_range() -> None:
    """Steps that became slower: the range holds the pace of then and of now."""
    pace = Pace()
    pace.add(steady(40, s_per_step=1.0))
    pace.add(steady(40, s_per_step=3.0, start=41, at=42.0))

    left = pace.left(10)

    assert left is not None
    assert left.low_s == pytest.approx(20.0, rel=0.1)
    assert left.high_s == pytest.approx(30.0, rel=0.1)
    assert left.low_s <= left.value_s <= left.high_s


def test_too_few_rows_say_nothing() -> None:
    """Unknown is None, not a guess."""
    pace = Pace()
    pace.add(steady(3))

    assert pace.left(10) is None
    assert pace.tokens_per_s() is None


def test_going_back_starts_afresh() -> None:
    """After a resume the time in between counts for nothing."""
    pace = Pace()
    pace.add(steady(40))
    pace.add(steady(20, start=10, at=10_000.0))

    left = pace.left(10)

    assert left is not None
    assert left.high_s == pytest.approx(20.0)


def test_tokens_that_are_not_logged_are_unknown() -> None:
    """No tokens in the rows: no throughput."""
    pace = Pace()
    pace.add([Row(step, float(step), {"loss": 1.0}) for step in range(10)])

    assert pace.tokens_per_s() is None
