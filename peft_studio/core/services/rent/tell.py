"""Tells the agent of a rented run what is decided at home: that a cap is near, that its GPU idles, that it is to stop and save.

The agent writes it into the run's log, which nobody else may write there, so every reader of the run sees it.
"""

from __future__ import annotations

import contextlib
import time

from peft_studio.core.errors import ConnectorError, RunStateError
from peft_studio.core.ports.node import Node
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.metrics import MetricsReader
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.rent.idle import IDLE_STOP, Load, LoadWatch, Verdict, build_policy
from peft_studio.core.services.rent.record import Record, Why
from peft_studio.core.services.rent.saving import say_due

AGAIN_S = 5.0  # until it is tried again, where the agent did not hear


class Teller:
    """Of one run on one machine. ``pass_on`` is cheap where nothing is due."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._tried_at = float("-inf")

    def pass_on(self, node: Node, record: Record) -> None:
        """Say what the run's log does not have yet, then have it stop, if it is to."""
        state = self._mirror.state
        if state.is_terminal or time.monotonic() - self._tried_at < AGAIN_S:
            return
        known = {warned.code for warned in state.warnings if warned.job == state.job}
        due = [(code, *said) for code, *said in say_due(record) if code not in known]
        stops = record.done.saving is not None and state.stop_requested is None
        if not due and not stops:
            return
        self._tried_at = time.monotonic()
        with contextlib.suppress(ConnectorError, RunStateError):
            for code, message, hint in due:
                node.command("warn", code=code, message=message, hint=hint)
            if stops:
                node.command("stop", save=True)


def why_ended(record: Record, mirror: Mirror, finished: ev.Finished) -> Why:
    """Why the machine of a run that has ended and come home is to go."""
    if finished.state == "completed":
        return "completed"
    idled = any((warned.code, warned.job) == (IDLE_STOP, mirror.state.job) for warned in mirror.state.warnings)
    return record.done.saving or ("idle" if idled else "stopped")


class HomeLoad:
    """Judges a machine's load at home, from the numbers that have come: also where its own agent does not."""

    def __init__(self, mirror: Mirror, idle_s: float | None) -> None:
        self._watch = LoadWatch(build_policy(idle_s)) if idle_s else None
        self._reader = MetricsReader(mirror.folder.system)
        self._verdict: Verdict = "busy"

    def judge(self) -> Verdict:
        """What to do about it, by all that is here now."""
        if self._watch is not None:
            for row in self._reader.read():
                self._verdict = self._watch.take(Load(row.at, row.values.get("gpu_percent")))
        return self._verdict
