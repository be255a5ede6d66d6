"""How fast a run goes, and how long it will still take, from the rows it has just written and the events around them.

Rows of one job: what a step takes beyond its tokens, and what each token takes. What is ahead: steps, and everything else that the
run will do, by what it took before or, where it has not happened yet, by what was predicted. Pure arithmetic; knows no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean, median
from types import MappingProxyType

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.metrics import Row
from peft_studio.core.runs.state import RunState
from peft_studio.core.spec import RunSpec

PACE_ROWS = 256  # enough to see how much the pace varies; old enough rows say nothing of now
RECENT_ROWS = 24  # at least so many decide the pace, however few the last quarter of the rows are
_MIN_ROWS = 4
_OUTLIER = 3.0  # steps that took so many times the median are not fitted to their tokens
_NOTHING: Mapping[int, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Left:
    """Seconds until the end, with the range that the pace of the last rows gives."""

    value_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a run has still to do.

    Attributes:
        steps: Optimizer steps.
        tokens: Real tokens in them; None while it is not known how many an epoch has.
        other_s: Checkpoints, evaluations, samples and the saving at the end.
        paused_s: What checkpoints took, by their step: it is inside the time of the step after.
    """

    steps: int
    tokens: float | None = None
    other_s: float = 0.0
    paused_s: Mapping[int, float] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class _Step:
    """Between two rows: how many steps, seconds and tokens."""

    steps: int
    seconds: float
    tokens: float


class Pace:
    """The last rows of one job. A resume starts a new one: the time between two jobs is nobody's pace."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=PACE_ROWS)

    def add(self, rows: Iterable[Row]) -> None:
        """Take in new training rows; a step that goes back starts afresh."""
        for row in rows:
            if "loss" not in row.values:
                continue
            if self._rows and row.step <= self._rows[-1].step:
                self._rows.clear()
            self._rows.append(row)

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()

    @property
    def tokens(self) -> float | None:
        """Tokens trained on so far, as the last row has them."""
        return self._rows[-1].values.get("tokens") if self._rows else None

    def tokens_per_s(self) -> float | None:
        """Tokens a second over the last half of the rows kept.

        None before there are enough, or where tokens are not logged.
        """
        rows = list(self._rows)
        rows = rows[-max(2, len(rows) // 2) :] if len(rows) >= _MIN_ROWS else []
        if not rows:
            return None
        began, ended = rows[0].values.get("tokens"), rows[-1].values.get("tokens")
        if began is None or ended is None or rows[-1].at <= rows[0].at:
            return None
        return (ended - began) / (rows[-1].at - rows[0].at)

    def left(self, ahead: Ahead) -> Left | None:
        """Time for what is ahead.

        The value is by the recent rows, the range spans all that are kept, their last half and their last quarter.
        """
        steps = self._steps(ahead.paused_s)
        if len(steps) + 1 < _MIN_ROWS or ahead.steps < 0:
            return None
        recent = steps[-max(RECENT_ROWS, len(steps) // 2) :]
        spans = [recent, steps, steps[-max(2, len(steps) // 2) :], steps[-max(2, len(steps) // 4) :]]
        token_s = _token_s(steps)
        value, *others = (_forecast(span, ahead, token_s) for span in spans)
        every = [value, *others]
        return Left(value + ahead.other_s, min(every) + ahead.other_s, max(every) + ahead.other_s)

    def _steps(self, paused_s: Mapping[int, float]) -> list[_Step]:
        rows, found = list(self._rows), []
        for before, after in pairwise(rows):
            seconds = (
                _clock(after) - _clock(before) - sum(paused_s.get(step, 0.0) for step in range(before.step, after.step))
            )
            tokens = after.values.get("tokens", 0.0) - before.values.get("tokens", 0.0)
            found.append(_Step(after.step - before.step, max(0.0, seconds), tokens))
        return found


def _clock(row: Row) -> float:
    """Seconds of training, evaluations and samples left out; the wall's where a row has no such number."""
    return row.values.get("time_s", row.at)


def _forecast(steps: Sequence[_Step], ahead: Ahead, token_s: float) -> float:
    """Seconds of the steps ahead: those of the steps seen, plus what their tokens are more or fewer."""
    count = sum(step.steps for step in steps)
    seconds, tokens = sum(step.seconds for step in steps) / count, sum(step.tokens for step in steps) / count
    more = ahead.tokens / ahead.steps - tokens if ahead.tokens and ahead.steps else 0.0
    return ahead.steps * max(0.0, seconds + token_s * more)


def _token_s(steps: Sequence[_Step]) -> float:
    """What a token adds to a step, by least squares; between nothing and all of it."""
    usual = median(step.seconds / step.steps for step in steps)
    points = [(s.tokens / s.steps, s.seconds / s.steps) for s in steps if s.seconds / s.steps < _OUTLIER * usual]
    if len(points) < _MIN_ROWS:
        return 0.0
    x, y = mean(one for one, _ in points), mean(two for _, two in points)
    spread = sum((one - x) ** 2 for one, _ in points)
    if not spread or not x:
        return 0.0
    slope = sum((one - x) * (two - y) for one, two in points) / spread
    return min(max(0.0, slope), y / x)


def find_ahead(
    state: RunState, spec: RunSpec, *, step: int, tokens: float | None, predicted: Mapping[str, float]
) -> Ahead | None:
    """What a run at ``step`` has still to do; None before it has said what it is about to do.

    Args:
        state: As its events have it.
        spec: What was asked for.
        step: Last finished step.
        tokens: Trained on so far.
        predicted: Seconds of one "checkpoint", "evaluation", "sample" and of "export", for what has not been seen yet.
    """
    plan = state.plan
    if plan is None:
        return None
    total = plan.total_steps
    due = {
        "checkpoint": _ahead_of(step, total, spec.save_steps),
        "evaluation": (1 + _between(step, total, spec.eval_steps)) if plan.eval_rows else 0,
        "sample": _ahead_of(step, total, spec.sample_steps) * len(spec.sample_prompts),
        "export": 1,
    }
    seen: dict[str, Sequence[float]] = {
        "checkpoint": [one.duration_s for one in state.checkpoints],
        "evaluation": [one.duration_s for one in state.evaluations],
        "sample": [one.duration_s for one in state.samples if one.duration_s],
        "export": [],
    }
    other = sum(count * (mean(seen[name]) if seen[name] else predicted.get(name, 0.0)) for name, count in due.items())
    left = max(0, total - step)
    ahead_tokens = None
    if plan.epoch_tokens and plan.steps_per_epoch and tokens is not None:
        ahead_tokens = max(0.0, plan.epoch_tokens * total / plan.steps_per_epoch - tokens)
    return Ahead(left, ahead_tokens, other, MappingProxyType(_paused(state.checkpoints)))


def _paused(checkpoints: Iterable[ev.CheckpointSaved]) -> dict[int, float]:
    return {one.step: one.duration_s for one in checkpoints}


def _between(step: int, total: int, every: int | None) -> int:
    """Multiples of ``every`` after ``step`` and before ``total``."""
    return max(0, (total - 1) // every - step // every) if every else 0


def _ahead_of(step: int, total: int, every: int | None) -> int:
    """Multiples of ``every`` after ``step`` up to ``total``, and ``total`` itself."""
    return -(-total // every) - step // every if every and step < total else 0
