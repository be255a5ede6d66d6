"""The learning-rate sweep that a Train panel has started: its runs as they stand and, when they have ended, what they say. Holds an id, no runs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import RunNotFound, RunStateError
from peft_studio.core.services.sweep import FACTORS, Sweep, find_steps
from peft_studio.widgets._host import Host
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.services.sweep_verdict import Recommendation

_EVERY_S = 1.0  # reading it goes through its runs' metrics

Section = dict[str, Any]


class TrainSweep:
    """At most one sweep is shown; the runs of earlier ones are in Runs."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._sweep: Sweep | None = None
        self._read_at = 0.0
        self._shown: Section | None = None
        self.version = 0  # another with every sweep that is shown, or put away

    @property
    def going(self) -> bool:
        """Whether there is one whose runs had not all ended when it was looked at last."""
        return self._sweep is not None and not (self._shown and self._shown["ended"])

    def start(self, draft: ExplainedSpec) -> str:
        """Launch the runs; they are queued one after the other like any."""
        sweep = self._studio.sweep(draft)
        with self._lock:
            self._sweep, self._read_at, self._shown = sweep, 0.0, None
            self.version += 1
        return sweep.id

    def dismiss(self) -> None:
        """Show it no longer. Its runs go on."""
        with self._lock:
            self._sweep = self._shown = None
            self.version += 1

    def section(self, draft: ExplainedSpec | None) -> Section:
        """What could be tried, and what is being."""
        return {"plan": plan_words(draft) if draft else None, "shown": self._look()}

    def _look(self) -> Section | None:
        with self._lock:
            now = time.monotonic()
            if self._sweep is None or (self._shown and (self._shown["ended"] or now - self._read_at < _EVERY_S)):
                return self._shown
            self._read_at = now
            try:
                self._shown = _build(self._sweep)
            except RunNotFound:  # somebody has deleted one of its runs
                self._sweep = self._shown = None
            return self._shown


def plan_words(draft: ExplainedSpec) -> Section:
    """The rates that a sweep would try, and for how many steps."""
    return {"rates": [_rate(draft.learning_rate * factor) for factor in FACTORS], "steps": find_steps(draft)}


def _build(sweep: Sweep) -> Section:
    ended = sweep.ended
    rows = sweep.rows()
    return {
        "id": sweep.id,
        "ended": ended,
        "rows": [{**row, "rate": _rate(row["learning_rate"]), "total": run.spec.max_steps} for row, run in zip(rows, sweep.runs, strict=True)],
        **(_verdict(sweep) if ended else {"verdict": "", "changes": {}, "button": ""}),
    }  # fmt: skip


def _verdict(sweep: Sweep) -> Section:
    try:
        best: Recommendation = sweep.best
    except RunStateError as exc:
        return {"verdict": plain(f"{exc.message} {exc.hint}"), "changes": {}, "button": ""}
    button = f"Use {_rate(best.learning_rate)}" if best.learning_rate else ""
    return {"verdict": plain(best.why), "changes": best.changes, "button": button}


def _rate(value: float) -> str:
    """``6.67e-05`` as people write it: ``6.67e-5``."""
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
