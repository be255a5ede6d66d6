"""What was expected of a run is kept with it, exactly, and a run without it is as good."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from peft_studio.core.estimators import Estimate
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.left import find_left
from peft_studio.core.runs.pace import Pace
from peft_studio.core.runs.prediction import Prediction, find_prediction, save_prediction
from peft_studio.core.runs.state import RunState
from tests.unit.core.runs.conftest import build_spec

TIME = Estimate(10.0, 8.0, 14.0, "s", "counted", {"set-up": 4.0, "training": 6.0})
COST = Estimate(Decimal("0.36"), Decimal("0.30"), Decimal("0.50"), "usd", "an offer", {"compute": Decimal("0.36")})
WHOLE = Prediction("a CPU", "llama", "lora", None, TIME, COST, {"set-up": 3.0, "training": 6.0}, {"checkpoint": 0.1})


def test_it_comes_back_as_it_was(make_run: Callable[..., RunFolder]) -> None:
    """Dollars stay decimal, what was unknown stays unknown."""
    folder = make_run()
    save_prediction(folder, WHOLE)

    assert find_prediction(folder) == WHOLE


def test_none_and_broken_ones_are_none(make_run: Callable[..., RunFolder]) -> None:
    """An older run has none; a torn or newer file is not guessed at."""
    folder = make_run()
    assert find_prediction(folder) is None
    for text in ("{", "[]", '{"version": 99}', '{"version": 1, "memory": 3}'):
        folder.prediction.write_text(text)
        assert find_prediction(folder) is None


def test_no_time_left_without_a_plan(make_run: Callable[..., RunFolder]) -> None:
    """A run that has not said what it will do has no end in sight."""
    assert find_left(make_run(), RunState(), build_spec(), pace=Pace(), step=0) is None
