"""The only serialiser to the browser: a run's state, rows and log as plain JSON, in named sections.

A section is sent when it differs from what was sent last. All text is cleaned here (see ``_text``); numbers keep
their units in their names and stay numbers, for the browser to format. What is not known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.curve import Curve
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.left import find_left
from peft_studio.core.runs.metrics import Row
from peft_studio.core.runs.pace import Pace
from peft_studio.core.runs.state import PhaseTime, RunState, Standing
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._text import plain
from peft_studio.widgets._ways import build_failure_view, build_warning

LOG_LINES = 200
_NAME, _ANSWER = 300, 4000  # characters
_NEWEST = 20  # samples, warnings, files: what a person looks at; the rest is in the run's folder

Section = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a run at one moment. ``now`` in seconds since 1970."""

    folder: RunFolder
    spec: RunSpec
    state: RunState
    standing: Standing
    curve: Curve
    pace: Pace
    system: SystemUse
    now: float

    @property
    def live(self) -> bool:
        return not self.state.is_terminal and self.standing.state != "lost"

    @property
    def heard_at(self) -> float:
        """Until when it is known that the run went on: now, unless it has ended or gone silent."""
        if not self.live:
            return self.state.last_at
        return self.now - (self.standing.heard_s or 0.0) if self.standing.stale else self.now


def build_sections(seen: Seen) -> dict[str, Any]:
    """What the folder says of a run, but for the log and the curve, which are streams."""
    state = seen.state
    return {
        "head": _head(seen),
        "facts": _facts(seen.spec, state),
        "phases": _phases(state.phases, now=seen.heard_at),
        "progress": _progress(seen),
        "numbers": _numbers(seen),
        "evaluations": [[e.step, _number(e.loss)] for e in state.evaluations],
        "warnings": [
            build_warning(seen.folder, w) for w in state.warnings[-_NEWEST:] if not _is_said_again(w, state.failure)
        ],
        "samples": [_sample(s) for s in state.samples[-_NEWEST:]],
        "files": _files(seen),
        "failure": build_failure_view(seen.folder, state.failure) if state.failure else None,
    }


class SystemUse:
    """The last system row and the peaks seen so far."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.peaks: dict[str, float] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Take in new rows of the run's system file."""
        for row in rows:
            self.last.update(row.values)
            for name in ("rss_bytes", "gpu_memory_bytes"):
                if name in row.values:
                    self.peaks[name] = max(self.peaks.get(name, 0.0), row.values[name])


def log_line(event: ev.Logged) -> Section:
    """One line of the log."""
    return {"seq": event.seq, "at": event.at, "level": event.level, "text": plain(event.text)}


def _is_said_again(warned: ev.Warned, failure: ev.Failure | None) -> bool:
    """Whether a run ended over what a warning says: its failure says it then."""
    return failure is not None and (warned.code, warned.hint) == (failure.code, failure.hint)


def _head(seen: Seen) -> Section:
    state, standing, live = seen.state, seen.standing, seen.live
    asked = state.stop_requested if live else None
    return {
        "id": seen.folder.id,
        "name": plain(state.name, limit=_NAME),
        "state": standing.state,
        "detail": plain(state.detail, limit=_NAME),
        "trouble": plain(standing.trouble),
        "live": live,
        "stale": standing.stale,
        "heard_s": standing.heard_s,
        "job": state.job,
        "resumed_from_step": state.from_step or None,
        "ended_at": state.last_at if not live else None,
        "stopping": None if asked is None else ("save" if asked.save else "stop"),
    }


def _facts(spec: RunSpec, state: RunState) -> Section:
    plan = state.plan
    return {
        "model": plain(Path(spec.model).name if Path(spec.model).is_absolute() else spec.model, limit=_NAME),
        "method": spec.method,
        "rank": spec.rank,
        "quantization": spec.quantization,
        "data": plain(Path(spec.data.origin).name or spec.data.origin, limit=_NAME),
        "rows": plan.train_rows if plan else spec.data.rows,
        "device": plain(state.trains_on, limit=_NAME) if state.trains_on else None,
        "precision": plan.precision if plan else None,
        "loop": plan.loop if plan else None,
        "loop_reason": plain(plan.loop_reason, limit=_NAME) if plan else None,
        "trainable_parameters": plan.trainable_parameters if plan else None,
        "total_parameters": plan.total_parameters if plan else None,
    }


def _phases(times: tuple[PhaseTime, ...], *, now: float) -> list[Section]:
    """Every phase in order with its seconds; evaluations in the middle of training add up."""
    elsewhere = any(time.phase in ev.ELSEWHERE for time in times)
    names = [name for name in ev.PHASES if elsewhere or name not in ev.ELSEWHERE]
    entered = [time for time in times if time.phase in names]
    current = names.index(entered[-1].phase) if entered else 0
    steps = []
    for index, name in enumerate(names):
        spent = [(time.ended_at or now) - time.began_at for time in entered if time.phase == name]
        place = "done" if index < current else "now" if index == current else "todo"
        # Whole seconds while it lasts, so that the section changes, and is sent, once a second.
        seconds = round(max(0.0, sum(spent)), None if place == "now" else 1) if spent else None
        steps.append({"phase": name, "place": place, "seconds": seconds})
    return steps


def _progress(seen: Seen) -> Section:
    plan = seen.state.plan
    total = plan.total_steps if plan else seen.spec.max_steps
    step = max(seen.curve.last_step, seen.state.from_step)
    going = seen.live and not seen.standing.stale and seen.state.state == "training"
    left = find_left(seen.folder, seen.state, seen.spec, pace=seen.pace, step=step) if going else None
    return {
        "step": step,
        "total": total,
        "epoch": step / plan.steps_per_epoch if plan and plan.steps_per_epoch else None,
        "epochs": total / plan.steps_per_epoch if plan and total and plan.steps_per_epoch else None,
        "steps_per_epoch": plan.steps_per_epoch if plan else None,
        "left_s": [left.value_s, left.low_s, left.high_s] if left else None,
    }


def _numbers(seen: Seen) -> Section:
    state, curve, system = seen.state, seen.curve, seen.system
    gpu = "gpu_memory_bytes" in system.last
    name = "gpu_memory_bytes" if gpu else "rss_bytes"
    used, free = system.last.get(name), None if gpu else system.last.get("memory_free_bytes")
    return {
        "loss": _number(curve.buckets[-1].mean) if curve.buckets else None,
        "first_loss": _number(curve.first_loss),
        "eval_loss": _number(state.evaluations[-1].loss) if state.evaluations else None,
        "tokens_per_s": seen.pace.tokens_per_s(),
        "tokens": _number(curve.buckets[-1].tokens) if curve.buckets else None,
        "memory_of": "gpu" if gpu else "process",
        "memory_bytes": used if seen.live else None,
        "memory_total_bytes": used + free if used is not None and free is not None else None,
        "memory_peak_bytes": system.peaks.get(name),
        "cpu_percent": system.last.get("cpu_percent") if seen.live else None,
    }


def _number(value: float) -> float | None:
    """A number that JSON has, or None."""
    return value if value - value == 0 else None


def _sample(event: ev.Sampled) -> Section:
    return {"step": event.step, "prompt": plain(event.prompt, limit=_ANSWER), "text": plain(event.text, limit=_ANSWER)}


def _files(seen: Seen) -> list[Section]:
    """Adapter first, then the checkpoints that are kept, newest first."""
    saved: list[ev.CheckpointSaved | ev.AdapterSaved] = list(seen.state.checkpoints[-seen.spec.keep_checkpoints :])
    if seen.state.adapter:
        saved.append(seen.state.adapter)
    return [
        {
            "name": plain(Path(one.path).name, limit=_NAME),
            "step": one.step,
            "size_bytes": one.size_bytes,
            "at": one.at,
            "path": plain(str(seen.folder.path / one.path)),
        }
        for one in reversed(saved)
    ]
