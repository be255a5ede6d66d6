"""Training numbers for a chart, in bounded memory: a million steps become at most a thousand buckets.

A bucket joins the same number of neighbouring rows; when there are too many, pairs join and each holds twice as many.
Lowest and highest loss are kept, so a spike never disappears, and the mean, so that smoothing stays right. Knows
nothing of runs or of the browser.

A chunk on the wire is one block of little-endian float64, a column after the other (see ``COLUMNS``), each as long as
the chunk.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from peft_studio.core.runs.metrics import Row

if TYPE_CHECKING:
    from peft_studio.core.runs.columns import Columns

MAX_BUCKETS = 1000  # drawn as a lowest and a highest point each: at most 2,000 points

COLUMNS = ("step", "time_s", "tokens", "low", "high", "mean", "count", "learning_rate", "grad_norm")
_columns_of = attrgetter(*COLUMNS)


@dataclass(slots=True)
class Bucket:
    """Neighbouring rows joined.

    ``count`` is the number of rows; ``low``, ``high`` and ``mean`` are of those whose loss is a number, NaN when none
    is. ``grad_norm`` is the highest. The others are of the last row.
    """

    step: float
    time_s: float
    tokens: float
    low: float
    high: float
    mean: float
    count: float
    learning_rate: float
    grad_norm: float
    finite: float = 1.0  # rows whose loss is a number

    def join(self, later: Bucket) -> None:
        """Take in the bucket that follows this one."""
        if math.isnan(self.mean):
            self.low, self.high, self.mean = later.low, later.high, later.mean
        elif not math.isnan(later.mean):
            self.low, self.high = min(self.low, later.low), max(self.high, later.high)
            self.mean += (later.mean - self.mean) * later.finite / (self.finite + later.finite)
        self.count += later.count
        self.finite += later.finite
        self.step, self.time_s = later.step, later.time_s
        self.tokens = later.tokens if not math.isnan(later.tokens) else self.tokens
        self.learning_rate = later.learning_rate if not math.isnan(later.learning_rate) else self.learning_rate
        self.grad_norm = _highest(self.grad_norm, later.grad_norm)


_FIELDS = tuple(field.name for field in fields(Bucket))
_fields_of = attrgetter(*_FIELDS)
_HEAD = 4  # numbers before the buckets of a packed curve
assert _FIELDS[: len(COLUMNS)] == COLUMNS


class Curve:
    """Rows added one by one, read as buckets.

    ``generation`` changes whenever buckets that were read before are no longer true.
    """

    def __init__(self) -> None:
        self.buckets: list[Bucket] = []
        self.generation = 0
        self.first_loss = math.nan
        self.first_at = math.nan
        self.last_step = 0
        self._rows_a_bucket = 1

    def add(self, rows: Iterable[Row]) -> None:
        """Take in new training rows, in the order of their steps. Rows without a loss are passed over."""
        for row in rows:
            if "loss" in row.values:
                self.first_at = row.at if math.isnan(self.first_at) else self.first_at
                self._add(_bucket_of(row, time_s=row.values.get("time_s", row.at - self.first_at)))

    def add_columns(self, columns: Columns) -> None:
        """Take in many rows at once. The buckets are those that ``add`` would make."""
        from peft_studio.core.runs.buckets import build_buckets, rises

        if "loss" not in columns.names:
            return None
        if not rises(columns, after=self.last_step if self.buckets else -1):  # rows of one step share a bucket
            return self.add(columns.rows())
        while len(self.buckets) + (len(columns) - self._room()) / self._rows_a_bucket > MAX_BUCKETS:
            self._join_pairs()
        if not self.buckets:
            self.first_at = float(columns.column("at")[0])
        room = self._room()
        self.add(columns.rows(0, room))
        rest = columns.after(room)
        if len(rest):
            self.buckets += build_buckets(rest, self._rows_a_bucket, first_at=self.first_at)
            self.last_step = int(self.buckets[-1].step)
        if math.isnan(self.first_loss):
            self.first_loss = next((float(one) for one in columns.column("loss") if math.isfinite(one)), math.nan)
        return None

    def _room(self) -> int:
        """How many rows the last bucket still takes."""
        return max(0, self._rows_a_bucket - int(self.buckets[-1].count)) if self.buckets else 0

    def _add(self, new: Bucket) -> None:
        if math.isnan(self.first_loss):
            self.first_loss = new.mean
        self.last_step = int(new.step)
        last = self.buckets[-1] if self.buckets else None
        if last is not None and (last.count < self._rows_a_bucket or last.step == new.step):
            last.join(new)
            return
        self.buckets.append(new)
        if len(self.buckets) > MAX_BUCKETS:
            self._join_pairs()

    def _join_pairs(self) -> None:
        pairs = []
        for left, right in zip(self.buckets[::2], self.buckets[1::2], strict=False):
            left.join(right)
            pairs.append(left)
        if len(self.buckets) % 2:
            pairs.append(self.buckets[-1])
        self.buckets = pairs
        self._rows_a_bucket *= 2
        self.generation += 1

    def clear(self) -> None:
        """Forget everything: a resume went back, and joined rows cannot be taken apart."""
        self.buckets = []
        self.generation += 1
        self.first_loss = self.first_at = math.nan
        self.last_step = 0
        self._rows_a_bucket = 1

    def encode(self, start: int = 0) -> bytes:
        """The buckets from ``start`` on, as a chunk (see the module's docstring)."""
        return _block(zip(*map(_columns_of, self.buckets[start:]), strict=True))

    def pack(self) -> bytes:
        """All of it, to go on with later."""
        head = (self.first_loss, self.first_at, self.last_step, self._rows_a_bucket)
        return _block([head, *zip(*map(_fields_of, self.buckets), strict=True)])

    @classmethod
    def unpack(cls, packed: bytes) -> Curve:
        """What :meth:`pack` gave."""
        values = array("d", packed)
        if sys.byteorder == "big":
            values.byteswap()
        curve, size = cls(), (len(values) - _HEAD) // len(_FIELDS)
        curve.first_loss, curve.first_at = values[:2]
        curve.last_step, curve._rows_a_bucket = map(int, values[2:_HEAD])
        columns = (values[at : at + size] for at in range(_HEAD, len(values), size or 1))
        curve.buckets = list(map(Bucket, *columns)) if size else []
        return curve


def _block(columns: Iterable[Iterable[float]]) -> bytes:
    block = array("d", chain.from_iterable(columns))
    if sys.byteorder == "big":
        block.byteswap()
    return block.tobytes()


def coarser(buckets: Sequence[Bucket], most: int) -> list[Bucket]:
    """The same curve in at most ``most`` buckets, neighbours joined; what was given stays as it is."""
    size = math.ceil(len(buckets) / most) or 1
    joined = []
    for start in range(0, len(buckets), size):
        first, *others = buckets[start : start + size]
        whole = replace(first)
        for other in others:
            whole.join(other)
        joined.append(whole)
    return joined


def _bucket_of(row: Row, *, time_s: float) -> Bucket:
    loss, tokens, rate, norm = (
        row.values.get(name, math.nan) for name in ("loss", "tokens", "learning_rate", "grad_norm")
    )
    loss = loss if math.isfinite(loss) else math.nan
    return Bucket(row.step, time_s, tokens, loss, loss, loss, 1.0, rate, norm, float(not math.isnan(loss)))


def _highest(one: float, other: float) -> float:
    if math.isnan(one):
        return other
    return one if math.isnan(other) else max(one, other)
