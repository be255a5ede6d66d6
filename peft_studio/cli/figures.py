"""Numbers and states as words, one way for every command: unit beside the number, "—" when unknown, never 0.

Ordinary spaces instead of the panels' narrow no-break ones: not every terminal has those at a known width.
"""

from __future__ import annotations

import math

from peft_studio.core.runs.events import Failure
from peft_studio.core.runs.state import RunState, Standing
from peft_studio.core.words import duration, gib

__all__ = ["UNKNOWN", "duration", "file_size", "gib", "loss", "rate", "remaining", "state_role", "state_word"]

UNKNOWN = "—"
DOING = {"loading": "loading the model", "reading": "reading the data"}


def remaining(value_s: float, low_s: float, high_s: float) -> str:
    """``about 13 m 20 s left (12 m 50 s–14 m)``; no finer than it is known, and no range whose ends read the same."""
    value, low, high = (duration(_rounded(seconds)) for seconds in (value_s, low_s, high_s))
    return f"about {value} left" + (f" ({low}–{high})" if low != high else "")


def _rounded(seconds: float) -> float:
    grain = 60 if seconds >= 3600 else 10 if seconds >= 60 else 1
    return round(seconds / grain) * grain


def loss(value: float | None) -> str:
    """Three decimals, more for very small ones."""
    if value is None:
        return UNKNOWN
    if not math.isfinite(value):
        return str(value)
    return f"{value:.1e}" if value and abs(value) < 0.001 else f"{value:.3f}"


def rate(value: float | None) -> str:
    """Tokens a second, three significant digits."""
    if value is None:
        return UNKNOWN
    if value >= 10_000:
        return f"{round(value, -2):,.0f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def file_size(size_bytes: float) -> str:
    """Files: ``9.8 MB``, ``1.25 GB``, ``3.1 kB``."""
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:,.2f} GB"
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:,.1f} kB"


def state_word(state: RunState, standing: Standing, *, now: float) -> str:
    """How a run stands, in words: ``Training``, ``Preparing, loading the model 12 s``, ``Last heard 42 s ago``."""
    name = standing.state
    if name == "lost":
        return "Lost" if standing.heard_s is None else f"Lost, silent for {duration(standing.heard_s)}"
    if standing.trouble:
        return f"{name.capitalize()}. {standing.trouble}"
    if standing.stale and standing.heard_s is not None:
        return f"Last heard {duration(standing.heard_s)} ago"
    if name == "failed":
        return _failed(state.failure)
    if name == "stopped":
        return f"Stopped, saved at step {state.adapter.step:,}" if state.adapter else "Stopped"
    if state.stop_requested and not state.is_terminal:
        return f"{name.capitalize()}, {'stopping and saving' if state.stop_requested.save else 'stopping'}"
    phase = state.phases[-1] if state.phases else None
    if phase and phase.phase in DOING and phase.ended_at is None:
        return f"{name.capitalize()}, {DOING[phase.phase]} {duration(now - phase.began_at)}"
    return name.capitalize()


def state_role(standing: Standing) -> str:
    """The colour that points at a state."""
    if standing.stale and standing.state != "lost":
        return "warn"
    return {"completed": "ok", "failed": "error", "lost": "warn", "stopped": "muted", "queued": "muted"}.get(
        standing.state, "accent"
    )


def _failed(failure: Failure | None) -> str:
    if failure is None:
        return "Failed"
    return f"Failed, {failure.code.replace('_', ' ')}" + (f", step {failure.step:,}" if failure.step else "")
