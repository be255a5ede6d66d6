"""How fast a run goes, and how long it will still take, from the rows it has just written.

Pure arithmetic; knows no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from peft_studio.core.runs.metrics import Row

PACE_ROWS = 256  # enough to see how much the pace varies; old enough rows say nothing of now
_MIN_ROWS = 4


@dataclass(frozen=True, slots=True)
class Left:
    """Seconds until the last step, with the range that the pace of the last rows gives."""

    value_s: float
    low_s: float
    high_s: float


class Pace:
    """The last rows of one job. A resume starts a new one: the time between two jobs is nobody's pace."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, int, float | None]] = deque(maxlen=PACE_ROWS)

    def add(self, rows: Iterable[Row]) -> None:
        """Take in new training rows; a step that goes back starts afresh."""
        for row in rows:
            if "loss" not in row.values:
                continue
            if self._rows and row.step <= self._rows[-1][1]:
                self._rows.clear()
            self._rows.append((row.at, row.step, row.values.get("tokens")))

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()

    def tokens_per_s(self) -> float | None:
        """Tokens a second over the last half of the rows kept.

        None before there are enough, or where tokens are not logged.
        """
        rows = self._last(2)
        if not rows:
            return None
        (began_at, _, began), (ended_at, _, ended) = rows[0], rows[-1]
        if began is None or ended is None or ended_at <= began_at:
            return None
        return (ended - began) / (ended_at - began_at)

    def left(self, steps: int) -> Left | None:
        """Time for that many more steps.

        The range spans the pace of all rows kept, of their last half and of their last quarter.
        """
        paces = [pace for share in (1, 2, 4) if (pace := self._s_per_step(share)) is not None]
        if len(paces) < 3 or steps < 0:
            return None
        return Left(steps * paces[1], steps * min(paces), steps * max(paces))

    def _s_per_step(self, share: int) -> float | None:
        rows = self._last(share)
        if not rows or rows[-1][1] == rows[0][1]:
            return None
        return (rows[-1][0] - rows[0][0]) / (rows[-1][1] - rows[0][1])

    def _last(self, share: int) -> list[tuple[float, int, float | None]]:
        """The last 1/share of the rows, none before there are enough of them."""
        rows = list(self._rows)
        return rows[-max(2, len(rows) // share) :] if len(rows) >= _MIN_ROWS else []
