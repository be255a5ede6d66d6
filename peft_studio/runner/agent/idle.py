"""The idle rule on the machine itself: it works with nobody at home. Started by ``PS_IDLE_S``, which only a rented machine has."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from peft_studio.core.runs import events as ev
from peft_studio.core.services.rent.idle import IDLE, IDLE_STOP, Load, LoadWatch, Verdict, build_policy, say_idle
from peft_studio.runner.agent.journal import Journal

UNKNOWN = "This machine does not tell how busy its GPU is: the rule for idle machines counts it as busy."


class IdleBrake:
    """Warns, then stops. ``stop``: has the trainer stop and save."""

    def __init__(self, journal: Journal, stop: Callable[[], None]) -> None:
        idle_s = float(os.environ.get("PS_IDLE_S", "") or 0)
        self._watch = LoadWatch(build_policy(idle_s)) if idle_s > 0 else None
        self._journal, self._stop = journal, stop
        self._verdict: Verdict = "busy"
        self._knows: bool | None = None

    def take(self, figures: Mapping[str, float]) -> None:
        """One sample of the machine's vitals."""
        if self._watch is None or self._verdict == "stop":
            return
        load = Load(time.monotonic(), figures.get("gpu_percent"))
        if self._knows is None and load.gpu_percent is None:
            self._journal.log("info", UNKNOWN)
        self._knows = load.gpu_percent is not None
        verdict, before = self._watch.take(load), self._verdict
        self._verdict = verdict
        if verdict in ("busy", before):
            return
        message, hint = say_idle(self._watch.policy, verdict)
        code = IDLE_STOP if verdict == "stop" else IDLE
        self._journal.append(ev.Warned(code=code, step=self._journal.last_step, message=message, hint=hint))
        if verdict == "stop":
            self._stop()
