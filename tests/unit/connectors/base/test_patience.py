"""Waiting: Retry-After in both forms, jitter within its bound, and the token bucket."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from peft_studio.connectors.base.patience import Pace, backoff_s, pace_for, parse_retry_after

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("120", 120.0), (" 0 ", 0.0), ("Thu, 26 Nov 2026 12:01:30 GMT", 90.0), ("Thu, 26 Nov 2026 11:00:00 GMT", 0.0),
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("٣", None), ("9" * 5000, 999_999_999.0),
    ],
)  # fmt: skip
def test_retry_after(given: str | None, seconds: float | None) -> None:
    """Seconds or a date; anything else says nothing."""
    assert parse_retry_after(given, now=NOON) == seconds


def test_backoff_is_spread_below_a_bound_that_doubles() -> None:
    """Never above the bound, never above the longest, and all over the range."""
    for attempt, bound in ((0, 1.0), (1, 2.0), (10, 8.0)):
        waits = [backoff_s(attempt, first_s=1.0) for _ in range(400)]
        assert 0 <= min(waits) < bound / 4
        assert bound * 3 / 4 < max(waits) <= bound


def test_a_bucket_lets_a_burst_through_and_then_paces() -> None:
    """Two at once, then one a second; a place that was given back is free; a closed bucket waits."""
    pace = Pace(1.0, 2)

    assert [pace.reserve(100.0) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]
    pace.give_back()
    assert pace.reserve(100.0) == 2.0
    assert pace.reserve(1000.0) == 0.0
    pace.close_until(1010.0)
    assert pace.reserve(1000.0) == 10.0


def test_a_host_has_one_bucket() -> None:
    """Whoever asks shares it."""
    assert pace_for("one.test", per_s=1, burst=1) is pace_for("one.test", per_s=9, burst=9)
    assert pace_for("one.test", per_s=1, burst=1) is not pace_for("two.test", per_s=1, burst=1)
