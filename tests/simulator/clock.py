"""The only time there is in the simulator."""

from __future__ import annotations

from datetime import UTC, datetime

from peft_studio.core.services.rent.moment import Moment

BEGIN_S = 1_790_000_000.0  # an hour in September 2026


class Clock:
    """True seconds since the begin, and what the computer's own clocks make of them."""

    def __init__(self) -> None:
        self.true_s = 0.0
        self.step_s = 0.0
        self.boots = 0
        self._last: Moment | None = None  # many ask within one instant
        self._last_of = (0.0, 0.0, -1)

    def now(self) -> Moment:
        """What a process of the home sees."""
        of = (self.true_s, self.step_s, self.boots)
        if self._last is None or of != self._last_of:
            self._last_of = of
            self._last = Moment(BEGIN_S + self.true_s + self.step_s, self.true_s, f"boot-{self.boots}")
        return self._last

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.true_s += seconds

    @property
    def provider_at(self) -> datetime:
        """A provider's clock, which is right."""
        return datetime.fromtimestamp(BEGIN_S + self.true_s, UTC)
