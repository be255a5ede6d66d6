"""Whether a machine that is paid for does anything: a pure rule over samples of its GPU's load.

It is judged twice, each time without the other: by the run's agent on the machine, and at home from the numbers that come from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from peft_studio.core.words import duration

Verdict = Literal["busy", "warn", "stop"]
GRACE_S = 600.0
THIN_S = 30.0  # of samples of one long pause that are closer together, the first is as good as all
IDLE, IDLE_STOP = "gpu_idle", "gpu_idle_stop"  # codes of the warnings in the run's log


@dataclass(frozen=True, slots=True)
class IdlePolicy:
    """Below ``busy_percent`` for ``idle_s`` seconds: a warning; ``grace_s`` later it is stopped and what it learned is kept.

    ``gap_s``: where samples are further apart nobody knows, and nothing is concluded.
    """

    busy_percent: float = 10.0
    idle_s: float = 3600.0
    grace_s: float = GRACE_S
    gap_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """One sample. ``gpu_percent``: of the busiest card; None where it could not be read."""

    at_s: float
    gpu_percent: float | None


def judge_idle(samples: Sequence[Load], now_s: float, policy: IdlePolicy = IdlePolicy()) -> Verdict:
    """What to do about a machine, by its samples in order of time. What is not known counts as busy: brakes of other kinds see to silence."""
    idle_since_s = now_s
    for sample in reversed(samples):
        unknown = sample.gpu_percent is None or sample.gpu_percent >= policy.busy_percent
        if unknown or idle_since_s - sample.at_s > policy.gap_s:
            break
        idle_since_s = sample.at_s
    idle_s = now_s - idle_since_s
    if idle_s >= policy.idle_s + policy.grace_s:
        return "stop"
    return "warn" if idle_s >= policy.idle_s else "busy"


def build_policy(idle_s: float) -> IdlePolicy:
    """The policy of a launch. Its grace is a sixth of the time, as with the hour that is the default, and ten minutes at most."""
    return IdlePolicy(idle_s=idle_s, grace_s=min(GRACE_S, idle_s / 6))


def say_idle(policy: IdlePolicy, verdict: Verdict) -> tuple[str, str]:
    """A warning's message and hint."""
    idle = f"The GPU has done less than {policy.busy_percent:g} % for {duration(policy.idle_s)}"
    off = "idle_minutes=None at launch turns this off."
    if verdict == "stop":
        return f"{idle} and {duration(policy.grace_s)} more: the run is stopped and what it has learned is saved.", off
    return (
        f"{idle}, and is paid for. Without work it is stopped in {duration(policy.grace_s)}, and what it has learned is saved.",
        f"Look at the log: is it loading, waiting for data, training on the CPU? {off}",
    )


class LoadWatch:
    """Judges samples as they come, and keeps as few as the rule needs. It never stops what it has not warned of for the whole grace."""

    def __init__(self, policy: IdlePolicy) -> None:
        self.policy = policy
        self._kept: list[Load] = []
        self._warned_at_s: float | None = None

    def take(self, sample: Load) -> Verdict:
        """What to do, now that this one has come."""
        busy = sample.gpu_percent is None or sample.gpu_percent >= self.policy.busy_percent
        if busy:
            self._kept.clear()
            self._warned_at_s = None
            return "busy"
        if not self._kept or sample.at_s - self._kept[-1].at_s >= min(THIN_S, self.policy.gap_s):
            self._kept.append(sample)
        verdict = judge_idle([*self._kept, sample], sample.at_s, self.policy)
        if verdict == "busy":
            self._warned_at_s = None
        elif self._warned_at_s is None:
            self._warned_at_s = sample.at_s
            return "warn"  # also where samples were so rare that its grace is over by now
        elif sample.at_s - self._warned_at_s < self.policy.grace_s:
            return "warn"
        return verdict
