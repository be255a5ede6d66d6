"""Ids of runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from peft_studio.core import ids


def test_later_ids_sort_later_within_one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs launched in the same second keep their order: their line for a device is in the order of creation."""
    start = datetime(2026, 11, 22, 20, 34, 12, tzinfo=UTC)
    moments = [start + timedelta(microseconds=at) for at in (0, 40, 900, 500_000, 999_980, 1_000_000)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return moments[len(made)]

    made: list[str] = []
    monkeypatch.setattr(ids, "datetime", Clock)
    for _ in moments:
        made.append(ids.new_run_id())
    assert made == sorted(made)
    assert len(set(made)) == len(moments)
    assert made[0].startswith("r-20261122-203412-0000")


@pytest.mark.parametrize(
    "text", ["../etc", "r-20261122-203412-9f31a", "r-20261122-203412-9F31AC", "r-20261122-203412-9f31ac\n"]
)
def test_anything_else_is_no_run_id(text: str) -> None:
    """Nothing that could become another path counts as an id; a new one does."""
    assert not ids.is_run_id(text)
    assert ids.is_run_id(ids.new_run_id())
