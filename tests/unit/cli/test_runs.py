"""The table of runs."""

from __future__ import annotations

import pytest

from peft_studio.cli.runs import build_table
from peft_studio.cli.terminal import cells
from peft_studio.core.runs.store import RunRow

ROWS = [
    RunRow(
        id="r-20261101-080000-00000a", name="orders to JSON", state="training", model="smollm2-135m", method="qlora",
        provider="local", created_at=0.0, last_at=0.0, step=42, total_steps=300, loss=0.812, eval_loss=None,
    ),
    RunRow(
        id="r-20261101-080000-00000b", name="", state="queued", model="org/model", method="lora",
        provider="local", created_at=0.0, last_at=0.0, step=None, total_steps=None, loss=None, eval_loss=None,
    ),
]  # fmt: skip


def lines(width: int) -> list[str]:
    return ["".join(text for text, _ in line) for line in build_table(ROWS, width=width, now=90.0)]


def test_everything_is_shown_where_there_is_room() -> None:
    """All columns stand in order; what is unknown is a dash."""
    head, first, second = lines(120)

    assert head.split() == ["id", "state", "age", "name", "model", "method", "step", "loss", "eval", "loss"]
    assert "42 of 300" in first
    assert "1 m 30 s" in first
    assert second.split().count("—") == 4


@pytest.mark.parametrize(("width", "left"), [(80, "name"), (50, "loss"), (36, "state")])
def test_columns_leave_as_width_shrinks(width: int, left: str) -> None:
    """The table fits the width, and id and state are the last to go."""
    table = lines(width)

    assert max(cells(line) for line in table) <= width
    assert left in table[0]
    assert "Training" in table[1]
