"""Whether a machine that is paid for does anything: a pure rule over samples of its GPU's load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["busy", "warn", "stop"]


@dataclass(frozen=True, slots=True)
class IdlePolicy:
    """Below ``busy_percent`` for ``idle_s`` seconds: a warning; ``grace_s`` later it is stopped and what it learned is kept.

    ``gap_s``: where samples are further apart nobody knows, and nothing is concluded.
    """

    busy_percent: float = 10.0
    idle_s: float = 3600.0
    grace_s: float = 600.0
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
