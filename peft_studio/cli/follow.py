"""A run followed from its files: what is new since the last look, and how the run stands now.

Reads the folder like any other reader; knows nothing of terminals.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.left import find_left
from peft_studio.core.runs.log import EventLogReader
from peft_studio.core.runs.metrics import MetricsReader, Row
from peft_studio.core.runs.pace import Left, Pace
from peft_studio.core.runs.state import LIVE, RunState, Standing, fold
from peft_studio.core.runs.watch import current_standing
from peft_studio.core.spec import RunSpec

MOST_POINTS = 2000


@dataclass(frozen=True, slots=True)
class Seen:
    """A run at one moment. ``fresh`` are the events since the look before; ``now`` is in seconds since 1970."""

    folder: RunFolder
    spec: RunSpec
    state: RunState
    standing: Standing
    fresh: list[ev.Event]
    step: int
    total: int | None
    loss: float | None
    first_loss: float | None
    eval_loss: float | None
    tokens_per_s: float | None
    left: Left | None
    memory_bytes: float | None
    losses: list[float]
    now: float

    @property
    def live(self) -> bool:
        """Whether there is more to come."""
        return self.standing.state in LIVE

    @property
    def took_s(self) -> float:
        """Time spent in phases so far, over all jobs."""
        end = self.now if self.live else self.state.last_at
        return sum(max(0.0, (phase.ended_at or end) - phase.began_at) for phase in self.state.phases)


class Follower:
    """Follows one run. ``look()`` never waits and reads only what is new."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._spec = folder.load_spec()
        self._state = RunState()
        self._log = EventLogReader(folder.events)
        self._metrics = MetricsReader(folder.metrics)
        self._system = MetricsReader(folder.system)
        self._pace = Pace()
        self._job_began_at = 0.0
        self._points: list[tuple[int, float]] = []
        self._memory_bytes: float | None = None

    def look(self) -> Seen:
        """The run as it stands now."""
        now = time.time()
        fresh = self._log.read()
        self._state = fold(fresh, self._state)
        for event in fresh:
            if isinstance(event, ev.JobStarted):  # the time between two jobs is nobody's pace
                self._job_began_at = event.at
                self._pace.clear()
        self._take_rows(self._metrics.read())
        for row in self._system.read():
            self._memory_bytes = row.values.get("gpu_memory_bytes", row.values.get("rss_bytes", self._memory_bytes))
        state, standing = self._state, current_standing(self._folder, self._state, now=now)
        live = standing.state in LIVE
        step = max(self._points[-1][0] if self._points else 0, state.from_step)
        total = state.plan.total_steps if state.plan else self._spec.max_steps
        training = live and not standing.stale and state.state == "training"
        return Seen(
            folder=self._folder, spec=self._spec, state=state, standing=standing, fresh=fresh, step=step, total=total,
            loss=self._points[-1][1] if self._points else None, first_loss=self._points[0][1] if self._points else None,
            eval_loss=state.evaluations[-1].loss if state.evaluations else None,
            tokens_per_s=self._pace.tokens_per_s(),
            left=find_left(self._folder, state, self._spec, pace=self._pace, step=step) if training else None,
            memory_bytes=self._memory_bytes if live else None, losses=[loss for _, loss in self._points], now=now,
        )  # fmt: skip

    def _take_rows(self, rows: list[Row]) -> None:
        if self._metrics.rewound_to is not None:  # a resume: what came after its checkpoint is void
            self._points = [point for point in self._points if point[0] <= self._metrics.rewound_to]
        self._points += [(row.step, row.values["loss"]) for row in rows if "loss" in row.values]
        self._pace.add(row for row in rows if row.at >= self._job_began_at)
        while len(self._points) > MOST_POINTS:
            # Every other point, the first and the last stay: the curve keeps its shape in bounded memory.
            self._points = [*self._points[:-1:2], self._points[-1]]
