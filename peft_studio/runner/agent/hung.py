"""Whether a trainer that says nothing hangs: frozen, or in a call that never comes back. Its own pace decides, and it is given far more than that.

Signs of life are steps, events and log lines. Steps have a pace. What is done between them, and before the second one, has none: there it is
alive also as long as it computes, reads or writes, which in a step says nothing, for a collective that never ends computes as well; and only a
machine that is paid for is ended for that. Time counts only while this process runs: what was asleep with its trainer has seen no silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import HINTS
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.words import duration
from peft_studio.runner.agent.journal import Journal
from peft_studio.runner.agent.ranks import Ending
from peft_studio.runner.agent.vitals import Vitals

CODE = "trainer_hung"
LEAST_S = 900.0  # a step of a machine that swaps, or that compiles for a new shape, takes minutes
QUIET_S = 3600.0  # without a pace: nothing said, computed, read or written for so long
TIMES, TIMES_LONGEST = 20.0, 5.0  # the usual step, the longest one
PACE_STEPS = 256
TICK_S = 10.0  # more between two looks is time in which nobody looked
BUSY_PERCENT = 5.0  # of a core, or of a GPU
MOVED_BYTES = 2**20
END_S = 30.0  # for processes that were killed to be gone: one in a call of the kernel's may never be
WAYS = {"training": "its first step", "starting": "starting it"}


class Watch:
    """What was heard of one trainer. Knows no clock but the one it is told. ``scale``: of all limits. ``paid``: its machine is."""

    def __init__(self, *, scale: float = 1.0, paid: bool = True) -> None:
        self.scale, self.paid, self.kind = scale, paid, "starting"
        self.silent_s = self.quiet_s = self._step_s = self._kind_s = 0.0
        self._looked_at: float | None = None
        self._steps: deque[float] = deque(maxlen=PACE_STEPS)
        self._longest_step_s = 0.0
        self._longest_s: dict[str, float] = {}

    def enter(self, kind: str) -> None:
        """It has gone on to something else."""
        self._longest_s[self.kind] = max(self._longest_s.get(self.kind, 0.0), self._kind_s)
        if self.kind == "training":  # a row that comes just after this says nothing of the steps before it
            self._longest_step_s = max(self._longest_step_s, self._step_s)
        self.kind, self._kind_s, self._step_s = kind, 0.0, 0.0
        self.hear()

    def hear(self) -> None:
        """A sign of life."""
        self.silent_s = self.quiet_s = 0.0

    def step(self) -> None:
        """A step was taken, or several."""
        if self.kind == "training" and self._step_s:
            self._steps.append(self._step_s)
            self._longest_step_s = max(self._longest_step_s, self._step_s)
        self._step_s = 0.0
        self.hear()

    def look(self, now_s: float, *, works: bool) -> None:
        """Time has passed. ``works``: it has computed, read or written since the last look."""
        passed_s = 0.0 if self._looked_at is None else min(now_s - self._looked_at, TICK_S)
        self._looked_at = now_s
        self.silent_s += passed_s
        self._kind_s += passed_s
        self._step_s += passed_s
        self.quiet_s = 0.0 if works else self.quiet_s + passed_s

    @property
    def hangs(self) -> bool:
        """Whether it has been silent for longer than anything it does explains."""
        limit_s = self.limit_s
        quiet = self.paid and not self._has_pace and self.quiet_s >= QUIET_S * self.scale
        return quiet or (limit_s is not None and self.silent_s >= limit_s)

    @property
    def limit_s(self) -> float | None:
        """How long it may be silent, whatever it computes; None where nothing says."""
        if self._has_pace:
            pace_s = max(TIMES * median(self._steps), TIMES_LONGEST * self._longest_step_s)
            return max(LEAST_S * self.scale, pace_s)
        seen_s = 0.0 if self.kind == "training" else self._longest_s.get(self.kind, 0.0)
        return max(QUIET_S * self.scale, TIMES * seen_s) if seen_s else None

    @property
    def _has_pace(self) -> bool:
        return self.kind == "training" and len(self._steps) > 1

    def say(self) -> str:
        """What is wrong, in a sentence."""
        heard = f"The trainer hangs: it has said nothing for {duration(self.silent_s)}"
        if self._has_pace:
            return f"{heard}, and its steps take {duration(max(1.0, median(self._steps)))}."
        return f"{heard} and done nothing that can be seen, which {WAYS.get(self.kind, self.kind)} does not explain."


class HungBrake:
    """Of one job. ``hangs``: set once, when it does; the run's log says so by then."""

    def __init__(self, journal: Journal, folder: RunFolder) -> None:
        paid = bool(os.environ.get("PS_LIFETIME_S"))
        self.watch, self.hangs = Watch(scale=read_scale(), paid=paid), asyncio.Event()
        self.why = ""
        self._journal, self._metrics = journal, folder.metrics
        self._phase, self._moved_bytes, self._metrics_bytes = "starting", 0, -1

    def take_phase(self, phase: str) -> None:
        """The run has gone on to a phase."""
        self._phase = phase
        self.watch.enter(phase)

    def take_doing(self, what: str) -> None:
        """It does something between two steps; nothing: that is over."""
        self.watch.enter(what or self._phase)

    def take(self, figures: Mapping[str, float], now_s: float, vitals: Vitals) -> None:
        """One sample of the machine's vitals."""
        if self.hangs.is_set() or not self.watch.scale:
            return
        self._take_steps()
        moved = abs(vitals.io_bytes - self._moved_bytes) >= MOVED_BYTES
        self._moved_bytes = vitals.io_bytes if moved else self._moved_bytes
        busy = max(figures.get("cpu_percent", 0.0), figures.get("gpu_percent", 0.0)) >= BUSY_PERCENT
        self.watch.look(now_s, works=moved or busy)
        if not self.watch.hangs:
            return
        if not self.watch.paid and vitals.all_stopped():
            self.watch.hear()  # somebody has stopped it on a machine that costs nothing, and may wake it
            return
        self.why = self.watch.say()
        self.hangs.set()
        with contextlib.suppress(OSError):  # a full disk: it ends all the same
            self._journal.append(_warn(self.why, self._journal.last_step))

    def _take_steps(self) -> None:
        size = self._metrics.stat().st_size if self._metrics.exists() else 0
        if self._metrics_bytes not in (-1, size):
            self.watch.step()
        self._metrics_bytes = size


def _warn(why: str, step: int) -> ev.Warned:
    return ev.Warned(code=CODE, step=step, message=f"{why} It is ended; its last checkpoint is kept.", hint=HINTS[CODE])


async def run_unless_hung(running: asyncio.Task[Ending], brake: HungBrake, end: Callable[[], None]) -> Ending:
    """How it ended; one that hangs is ended. ``end`` kills its processes, and waits for them a little."""
    hangs = asyncio.create_task(brake.hangs.wait())
    await asyncio.wait({running, hangs}, return_when=asyncio.FIRST_COMPLETED)
    hangs.cancel()
    if not running.done():
        await asyncio.to_thread(end)
        await asyncio.wait({running}, timeout=END_S)
    if running.done():
        return running.result()
    running.cancel()
    return Ending(status=-9)


def read_scale() -> float:
    """``PEFT_STUDIO_HUNG_MIN``: how many minutes are the least that is given, a quarter of an hour unless said; 0: it may hang."""
    try:
        return max(0.0, float(os.environ["PEFT_STUDIO_HUNG_MIN"]) * 60 / LEAST_S)
    except (KeyError, ValueError):
        return 1.0
