"""What rented machines cost: exact dollars from how each was billed over time. Pure; where the readings come from is not known here.

An uninterrupted stretch of running is billed in started units of ``granularity_s``, each at the price that held when the unit began;
storage by the microsecond, from the first reading until nothing is billed. A unit belongs to the day in which it began, so the parts
of any division add up to the whole, exactly. Until a provider's own charge covers a time, what is said of it is an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from peft_studio.core.compute.billing import GB, HOUR_S, MONTH_HOURS, BillingRules

Billed = Literal["all", "storage", "nothing"]
_US = 1_000_000
_FOR_EVER_US = 2**62


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``begin_s`` until the next one a machine was billed so. Seconds since 1970."""

    begin_s: float
    billed: Billed
    usd_per_hour: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Paid:
    """What the provider says that it charged for a machine, from ``begin_s`` to before ``end_s``."""

    begin_s: float
    end_s: float
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Life:
    """One machine from its first billed moment to its last; ``stretches`` in order, the last one "nothing" once it is gone.

    ``ahead_s``: how far the clock here has been set ahead since the first of them, whose times go on without that.
    """

    instance_id: str
    run_id: str
    provider: str
    rules: BillingRules
    stretches: tuple[Stretch, ...]
    disk_bytes: float = 0.0
    paid: tuple[Paid, ...] = ()
    ahead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Total:
    """Dollars of a span. ``billed_usd``: what of them the provider has charged; the rest is our estimate."""

    usd: Decimal = Decimal(0)
    billed_usd: Decimal = Decimal(0)

    def __add__(self, other: Total) -> Total:
        return Total(self.usd + other.usd, self.billed_usd + other.billed_usd)

    @property
    def is_estimate(self) -> bool:
        """Whether any of it is still an estimate."""
        return self.usd != self.billed_usd


def cost(life: Life, begin_s: float, end_s: float, *, now_s: float) -> Total:
    """What a machine costs from ``begin_s`` to before ``end_s``; what is still to come after ``now_s`` is not in it.

    A charge belongs to the moment at which it begins, and what we estimated for its time is left out.
    """
    billed = sum((paid.usd for paid in life.paid if begin_s <= paid.begin_s < end_s), Decimal(0))
    estimate = Decimal(0)
    for low_s, high_s in _uncovered(life.paid, begin_s, end_s):
        estimate += _estimate(life, _us(low_s), min(_us(high_s), _FOR_EVER_US), now_us=_us(now_s - life.ahead_s))
    return Total(billed + estimate, billed)


def total(lives: Iterable[Life], begin_s: float, end_s: float, *, now_s: float) -> Total:
    """What several machines cost in a span."""
    return sum((cost(life, begin_s, end_s, now_s=now_s) for life in lives), Total())


def total_by(
    lives: Iterable[Life], begin_s: float, end_s: float, *, now_s: float, of: Callable[[Life], str]
) -> dict[str, Total]:
    """The same, by run or by provider: ``of=lambda life: life.run_id``."""
    totals: dict[str, Total] = {}
    for life in lives:
        totals[of(life)] = totals.get(of(life), Total()) + cost(life, begin_s, end_s, now_s=now_s)
    return totals


def split(lives: Sequence[Life], bounds_s: Sequence[float], *, now_s: float) -> list[Total]:
    """What was spent between each two of ``bounds_s``: days, or the times at which epochs began."""
    return [total(lives, low, high, now_s=now_s) for low, high in pairwise(bounds_s)]


def month_began_s(at_s: float) -> float:
    """The first second of the month, in UTC as the providers count."""
    day = datetime.fromtimestamp(at_s, UTC)
    return day.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def day_began_s(at_s: float, *, days_before: int = 0) -> float:
    """Midnight in UTC of that day, or of one before it."""
    day = datetime.fromtimestamp(at_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day - timedelta(days=days_before)).timestamp()


def _uncovered(paid: Sequence[Paid], begin_s: float, end_s: float) -> list[tuple[float, float]]:
    """The parts of a span for which no charge is there."""
    left, at_s = [], begin_s
    for one in sorted(paid, key=lambda one: one.begin_s):
        if one.end_s <= at_s or one.begin_s >= end_s:
            continue
        if one.begin_s > at_s:
            left.append((at_s, one.begin_s))
        at_s = max(at_s, one.end_s)
    if at_s < end_s:
        left.append((at_s, end_s))
    return left


def _us(seconds: float) -> int:
    return (
        _FOR_EVER_US if seconds == float("inf") else -_FOR_EVER_US if seconds == float("-inf") else round(seconds * _US)
    )


def _estimate(life: Life, low_us: int, high_us: int, *, now_us: int) -> Decimal:
    """What of our own count falls between two times."""
    if not life.stretches:
        return Decimal(0)
    starts = [_us(one.begin_s) for one in life.stretches]
    ends = [*starts[1:], max(now_us, starts[-1])]
    usd_us = Decimal(0)  # dollars an hour times microseconds
    kept_us, unmet_us = 0, life.rules.minimum_s * _US
    number = 0
    while number < len(starts):
        billed = life.stretches[number].billed
        last = number
        while billed == "all" and last + 1 < len(starts) and life.stretches[last + 1].billed == "all":
            last += 1  # a new price does not begin a new stretch of running
        begin, end = starts[number], ends[last]
        if billed != "nothing":
            kept_us += max(0, min(end, high_us) - max(begin, low_us))
        if billed == "all" and end > begin:
            lasted = max(end - begin, unmet_us)
            unmet_us = max(0, unmet_us - lasted)
            prices = [(_us(one.begin_s), one.usd_per_hour) for one in life.stretches[number : last + 1]]
            unit = life.rules.granularity_s * _US
            units = range(begin, begin + lasted, unit)
            usd_us += sum(
                (price * unit * len(held) for price, held in _priced(units, prices, low=low_us, high=high_us)),
                Decimal(0),
            )
        number = last + 1
    storage = life.rules.storage_usd_per_gb_month * Decimal(str(life.disk_bytes)) * kept_us
    return usd_us / (HOUR_S * _US) + storage / (GB * MONTH_HOURS * HOUR_S * _US)


def _priced(
    units: range, prices: Sequence[tuple[int, Decimal]], *, low: int, high: int
) -> Iterable[tuple[Decimal, range]]:
    """The started units of one stretch of running that began between ``low`` and ``high``, by the price that held then."""
    for number, (since, price) in enumerate(prices):
        until = prices[number + 1][0] if number + 1 < len(prices) else _FOR_EVER_US
        yield price, units[_count_before(units, max(low, since)) : _count_before(units, min(high, until))]


def _count_before(units: range, at: int) -> int:
    """How many units begin before ``at``."""
    return max(0, -(-(at - units.start) // units.step))
