"""How long an entry still waits, whatever the clock does."""

from __future__ import annotations

import pytest

from peft_studio.core.offline.entry import left_s


@pytest.mark.parametrize(
    ("now", "failed_at", "wait", "expected"),
    [
        (1000.0, None, 0.0, 0.0),  # never failed
        (1000.0, 1000.0, 60.0, 60.0),
        (1059.0, 1000.0, 60.0, 1.0),
        (1060.0, 1000.0, 60.0, 0.0),
        (90_000.0, 1000.0, 60.0, 0.0),  # the clock has jumped forward
        (999.0, 1000.0, 60.0, 0.0),  # and back: it is tried early rather than never
        (-5e9, 1000.0, 60.0, 0.0),
        (1000.0, 1000.0, 0.0, 0.0),
    ],
)
def test_what_is_left_of_a_wait(now: float, failed_at: float | None, wait: float, expected: float) -> None:
    """A jump makes it due, never stuck."""
    assert left_s(now, failed_at, wait) == expected
