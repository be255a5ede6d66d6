"""What finished runs took beside what was predicted of them: read from their folders, kept in memory because a finished run never changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from peft_studio.core.estimators import Outcome
from peft_studio.core.ids import is_run_id
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.runs.prediction import Prediction, find_prediction
from peft_studio.core.runs.state import RunState, fold

FILE = "accuracy.json"  # of a home: since when runs are learned from
NEWEST = 200  # runs that are read; older ones say little of how it is now
PREPARING = ("queued", "loading", "reading")
_SEEN: dict[tuple[str, int], Record | None] = {}


@dataclass(frozen=True, slots=True)
class Actual:
    """What a finished run took: its peak memory, and seconds by the parts of a duration. None or absent where it was not measured."""

    memory_bytes: float | None
    seconds: Mapping[str, float]

    @property
    def total_s(self) -> float:
        """From launch to end."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Record:
    """One run: predicted beside actual."""

    run_id: str
    prediction: Prediction
    actual: Actual

    def outcomes(self) -> Iterator[Outcome]:
        """What there is to learn from it, one quantity each."""
        expected = self.prediction
        pairs = dict(self.actual.seconds)
        if self.actual.memory_bytes:
            pairs["memory"] = self.actual.memory_bytes
        for quantity, actual in pairs.items():
            if predicted := expected.raw.get(quantity):
                yield Outcome(expected.device, expected.family, expected.method, quantity, predicted, actual)


def find_record(folder: RunFolder) -> Record | None:
    """One run's record; None unless it has completed in one go and was predicted."""
    expected = find_prediction(folder)
    try:
        key = (str(folder.events), folder.events.stat().st_mtime_ns)
    except OSError:
        return None
    if expected is None:
        return None
    if key not in _SEEN:
        _SEEN[key] = _build(folder, expected)
    return _SEEN[key]


def measure(events: Sequence[ev.Event], folder: RunFolder, state: RunState | None = None) -> Actual:
    """What a run took, by the parts that a duration is estimated in. Waiting for another run to end is nobody's time."""
    state = state or fold(events)
    spent: dict[str, float] = {}
    for phase in state.phases:
        spent[phase.phase] = spent.get(phase.phase, 0.0) + (phase.ended_at or state.last_at) - phase.began_at
    began = state.phases[0].began_at - state.created_at if state.phases else 0.0
    turn_at = next((event.at for event in events if isinstance(event, ev.Environment)), None)
    waited = max(0.0, turn_at - state.phases[0].began_at) if turn_at and state.phases else 0.0
    checkpoints, samples = (sum(one.duration_s for one in each) for each in (state.checkpoints, state.samples))
    evaluations = sum(one.duration_s for one in state.evaluations)
    inside = sum(one.duration_s for one in state.evaluations if state.plan and one.step < state.plan.total_steps)
    seconds = {
        "set-up": began - waited + sum(spent.get(name, 0.0) for name in PREPARING),
        "training": max(0.0, spent.get("training", 0.0) - checkpoints - samples - inside),
        "evaluation": evaluations,
        "samples": samples,
        "saving": checkpoints + spent.get("saving", 0.0),
    }
    rows = read_metrics(folder.system)
    peaks = [row.values.get("gpu_memory_bytes", row.values.get("rss_bytes", 0.0)) for row in rows]
    return Actual(
        max(peaks, default=0.0) or None, MappingProxyType({name: value for name, value in seconds.items() if value})
    )


def list_records(home: Path, since: float) -> Iterator[Record]:
    try:
        names = sorted((entry.name for entry in (home / "runs").iterdir() if is_run_id(entry.name)), reverse=True)
    except OSError:
        return
    for name in names[:NEWEST]:
        folder = RunFolder(home / "runs" / name)
        record = find_record(folder)
        if record is not None and _ended_at(folder) >= since:
            yield record


def read_since(home: Path) -> float:
    try:
        return float(json.loads((home / FILE).read_text(encoding="utf-8"))["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _ended_at(folder: RunFolder) -> float:
    try:
        return folder.events.stat().st_mtime
    except OSError:
        return 0.0


def _build(folder: RunFolder, expected: Prediction) -> Record | None:
    try:
        events = read_events(folder.events)
    except (OSError, ValueError):  # being deleted, or damaged
        return None
    state = fold(events)
    if state.state != "completed" or state.job != 1:
        return None
    return Record(folder.id, expected, measure(events, folder, state))
