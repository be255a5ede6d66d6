"""Loss curves of many runs, read only when somebody looks at them and again only where a file has grown.

What is drawn in a row of a table is kept for many runs, the curve it was made from for few.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from peft_studio.core.runs.curve import Bucket, Curve
from peft_studio.core.runs.follow import read_new
from peft_studio.core.runs.metrics import MetricsReader
from peft_studio.core.runs.pace import PACE_ROWS, Pace
from peft_studio.widgets._snapshot import smoothed

_CURVES, _SPARKS = 64, 2000  # how many are kept
_POINTS = 48  # of a sparkline: one a pixel and a half
_SMOOTH = 0.9
_Kept = TypeVar("_Kept")
_HEIGHT = 1000  # sparklines travel as whole numbers from 0 to this


@dataclass(slots=True)
class Loss:
    """One run's curve, followed from where it was left."""

    path: Path
    curve: Curve = field(default_factory=Curve)
    pace: Pace = field(default_factory=Pace)
    _reader: MetricsReader = field(init=False)
    _from_rows: bool = False  # a resume has gone back over what a summary may hold

    def __post_init__(self) -> None:
        self._reader = MetricsReader(self.path)

    def read(self) -> bool:
        """Take in new rows; True where there were any."""
        if not self._reader.offset and self._reader.far_behind and not self._from_rows:
            self._from_summary()
        columns, rows, back = read_new(self._reader)
        if back is not None and self.curve.last_step > back:
            self._begin_again()
            return self.read()
        for stretch in columns:
            self.curve.add_columns(stretch)
            self.pace.add(stretch.rows(-PACE_ROWS))
        self.curve.add(rows)
        self.pace.add(rows)
        return bool(columns or rows)

    def _from_summary(self) -> None:
        """Begin with what the writer has summed up."""
        from peft_studio.core.runs.summary import read_summary

        if found := read_summary(self.path):
            self.curve, self._reader = found

    def _begin_again(self) -> None:
        """A resume has gone back over rows that are in the curve: all is to be read again, which leaves them out."""
        self._reader, self._from_rows = MetricsReader(self.path), True
        self.curve.clear()
        self.pace.clear()

    def buckets(self) -> list[Bucket]:
        """Those that have a loss."""
        return [bucket for bucket in self.curve.buckets if not math.isnan(bucket.mean)]

    def points(self, most: int) -> list[tuple[Bucket, float]]:
        """Buckets with their smoothed loss, no more than ``most``, the first and the last among them."""
        buckets = self.buckets()
        values = smoothed(buckets, _SMOOTH if len(buckets) > 100 else 0.6)
        every = max(1.0, (len(buckets) - 1) / (most - 1))
        places = sorted({min(len(buckets) - 1, round(at * every)) for at in range(min(most, len(buckets)))})
        return [(buckets[at], values[at]) for at in places]


class Losses:
    """Curves and sparklines by run id. Used by one thread at a time."""

    def __init__(self) -> None:
        self._curves: OrderedDict[str, tuple[int, Loss]] = OrderedDict()
        self._sparks: OrderedDict[str, tuple[int, list[int]]] = OrderedDict()

    def read(self, folders: Iterable[tuple[str, Path]], *, within_s: float) -> bool:
        """Bring sparklines up to date, given id and metrics file; True when there was time for all of them."""
        until = time.monotonic() + within_s
        for run_id, path in folders:
            size = _size(path)
            if self._sparks.get(run_id, (-1, []))[0] == size:
                self._sparks.move_to_end(run_id)
                continue
            if time.monotonic() > until:
                return False
            _keep(self._sparks, run_id, (size, _spark(self.find(run_id, path))), _SPARKS)
        return True

    def spark(self, run_id: str) -> list[int] | None:
        """What was last read of a run, as heights; None when nothing was."""
        found = self._sparks.get(run_id)
        return found[1] if found else None

    def find(self, run_id: str, path: Path) -> Loss:
        """The curve of a run as it stands now."""
        size = _size(path)
        read, loss = self._curves.get(run_id) or (-1, Loss(path))
        if read != size:
            loss.read()
        _keep(self._curves, run_id, (size, loss), _CURVES)
        return loss


def columns_of(buckets: Sequence[Bucket], **more: Sequence[float]) -> dict[str, list[float]]:
    """Where buckets stand by step, time and tokens, and ``more`` beside, as short numbers. Tokens that were not logged are left out."""
    places = {name: [getattr(bucket, name) for bucket in buckets] for name in ("step", "time_s", "tokens")}
    if any(map(math.isnan, places["tokens"])):
        del places["tokens"]
    return {name: [float(f"{value:.7g}") for value in values] for name, values in {**places, **more}.items()}


def _spark(loss: Loss) -> list[int]:
    values = [value for _, value in loss.points(_POINTS) if math.isfinite(value)]
    if len(values) < 2:
        return []
    low, high = min(values), max(values)
    return [round((value - low) / ((high - low) or 1) * _HEIGHT) for value in values]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _keep(cache: OrderedDict[str, _Kept], run_id: str, value: _Kept, most: int) -> None:
    cache[run_id] = value
    cache.move_to_end(run_id)
    while len(cache) > most:
        cache.popitem(last=False)
