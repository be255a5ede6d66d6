"""Numbers and states as words."""

from __future__ import annotations

import pytest

from peft_studio.cli import figures
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.state import PhaseTime, RunState, Standing


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (48, "48 s"), (60, "1 m"), (872, "14 m 32 s"), (9660, "2 h 41 m"), (3 * 86400 + 4 * 3600, "3 d 4 h"), (-3, "0 s")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    """The two largest units, and a clock that ran backwards is no negative time."""
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (790, 772, 842, "about 13 m 10 s left (12 m 50 s–14 m)"),
        (41.2, 40.9, 41.4, "about 41 s left"),
        (7300, 7000, 7700, "about 2 h 2 m left (1 h 57 m–2 h 8 m)"),
    ],
)
def test_remaining(value: float, low: float, high: float, text: str) -> None:
    """No finer than it is known; a range only where its ends read differently."""
    assert figures.remaining(value, low, high) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "—"), (1.23456, "1.235"), (0.0, "0.000"), (0.00012, "1.2e-04"), (float("nan"), "nan")]
)
def test_loss(value: float | None, text: str) -> None:
    """Three decimals; what is unknown is a dash, never 0; NaN is said."""
    assert figures.loss(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "—"), (11234.0, "11,200"), (161.4, "161"), (46.62, "46.6")])
def test_rate(value: float | None, text: str) -> None:
    """Three significant digits."""
    assert figures.rate(value) == text


@pytest.mark.parametrize(
    ("state", "standing", "text"),
    [
        (RunState(state="training"), Standing("training", 1.0), "Training"),
        (RunState(state="training"), Standing("training", 42.0), "Last heard 42 s ago"),
        (RunState(state="training"), Standing("lost", 3 * 3600.0), "Lost, silent for 3 h"),
        (RunState(state="preparing", phases=(PhaseTime("loading", 78.0),)), Standing("preparing", 1.0), "Preparing, loading the model 22 s"),
        (RunState(state="training", stop_requested=ev.StopRequested(save=True)), Standing("training", 1.0), "Training, stopping and saving"),
        (RunState(state="stopped", adapter=ev.AdapterSaved(path="adapter", step=1180, sha256="", size_bytes=1)), Standing("stopped", None), "Stopped, saved at step 1,180"),
        (RunState(state="failed", failure=ev.Failure(code="out_of_memory", message="", step=1)), Standing("failed", None), "Failed, out of memory, step 1"),
        (RunState(state="completed"), Standing("completed", None), "Completed"),
    ],
)  # fmt: skip
def test_state_word(state: RunState, standing: Standing, text: str) -> None:
    """The words of the panels; silence replaces the state's word."""
    assert figures.state_word(state, standing, now=100.0) == text
