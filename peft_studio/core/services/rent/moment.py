"""When something happened, so that no step of the clock and no reboot makes a wait look over that is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, twice.

    Attributes:
        wall_s: Seconds since 1970, as the clock shows them: for people and for other machines. It may be set.
        steady_s: Seconds that only go forward, sleep included; they mean something in the same ``boot`` alone.
    """

    wall_s: float
    steady_s: float
    boot: str

    def past(self, then: Moment) -> float:
        """Seconds since ``then``: the true ones where it was in this boot, else what the clock says, and never less than none."""
        if self.boot == then.boot:
            return max(0.0, self.steady_s - then.steady_s)
        return max(0.0, self.wall_s - then.wall_s)

    def surely_past(self, then: Moment) -> float:
        """Seconds that have passed since ``then`` whatever was done to the clock; none can be vouched for across a boot."""
        return max(0.0, self.steady_s - then.steady_s) if self.boot == then.boot else 0.0

    def went_back(self, then: Moment) -> bool:
        """Whether the clock shows less than it did then, before this computer was started anew: nobody knows how long ago that was."""
        return self.boot != then.boot and self.wall_s < then.wall_s

    def later(self, seconds: float) -> Moment:
        """So many seconds after this one."""
        return Moment(self.wall_s + seconds, self.steady_s + seconds, self.boot)


Now = Callable[[], Moment]


def read_now() -> Moment:
    """This moment."""
    return Moment(time.time(), time.clock_gettime(_STEADY) if _STEADY is not None else time.monotonic(), _BOOT)


def _read_boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # no Linux: a step of the clock looks like a new boot, which makes waits longer and never shorter
        return f"{psutil.boot_time():.0f}"


# Linux' monotonic clock stands still while a laptop sleeps, and the machine that it rents does not. macOS' counts sleep.
_STEADY: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
_BOOT = _read_boot()
