"""What a home's own finished runs say of the estimates: a factor for each device, family and method, near 1 while there are few.

The factor is the median of actual ÷ predicted on a logarithmic scale, drawn towards 1 as if ``PRIOR_RUNS`` runs had been predicted
exactly. The prediction that counts is the uncorrected one: what is learned is not learned on top of what was learned before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import exp, log
from statistics import median
from types import MappingProxyType

from peft_studio.core.estimators.estimate import Estimate, Number

PRIOR_RUNS = 2.0
FEW = 3  # below it a range is not narrowed
LEAST, MOST = 0.25, 4.0  # a factor beyond is a broken measurement, not a correction
_SPREAD_OF_NONE = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: what was predicted of one quantity, uncorrected, and what it came to."""

    device: str
    family: str
    method: str
    quantity: str  # "memory" or a part of the duration
    predicted: float
    actual: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a correction is learned for."""
        return (self.device, self.family, self.method, self.quantity)


@dataclass(frozen=True, slots=True)
class Correction:
    """Multiply an estimate by ``factor``. ``spread`` is the half width, on a logarithmic scale, that most of the runs lie within."""

    factor: float
    runs: int
    spread: float


def learn_corrections(outcomes: Iterable[Outcome]) -> Mapping[tuple[str, str, str, str], Correction]:
    """A correction for every key that has an outcome worth learning from."""
    ratios: dict[tuple[str, str, str, str], list[float]] = {}
    for one in outcomes:
        if one.predicted > 0 and one.actual > 0:
            ratios.setdefault(one.key, []).append(log(min(MOST, max(LEAST, one.actual / one.predicted))))
    return MappingProxyType({key: _learn(each) for key, each in ratios.items()})


def apply_correction(estimate: Estimate, corrections: Mapping[str, Correction]) -> Estimate:
    """An estimate with each part, or the whole where it has none of that name, corrected, and the basis saying so."""
    if not corrections:
        return estimate
    whole = corrections.get("")
    parts: dict[str, Number] = {}
    for name, amount in estimate.parts.items():
        found = whole or corrections.get(name)
        parts[name] = float(amount) * found.factor if found else amount
    before, value = float(estimate.value), float(sum(map(float, parts.values())))
    if not estimate.parts:
        value = before * (whole.factor if whole else 1.0)
    low, high = (value / before * float(end) if before else float(end) for end in (estimate.low, estimate.high))
    leading = whole or max((c for name, c in corrections.items() if name in parts), key=lambda c: c.runs, default=None)
    if leading and leading.runs >= FEW and before:
        low, high = max(low, value * exp(-leading.spread)), min(high, value * exp(leading.spread))
    runs = max(one.runs for one in corrections.values())
    says = f"{estimate.basis}; corrected ×{value / before if before else 1:.2f} by {runs} finished run{'s' if runs > 1 else ''} here"
    return replace(
        estimate, value=value, low=min(low, value), high=max(high, value), basis=says, parts=MappingProxyType(parts)
    )


def _learn(each: list[float]) -> Correction:
    middle = median(each)
    factor = exp(middle * len(each) / (len(each) + PRIOR_RUNS))
    away = sorted(abs(one - log(factor)) for one in each)
    # the runs seen, and room for what so few cannot have shown
    spread = away[min(len(away) - 1, round(0.9 * (len(away) - 1)))] * 1.25 + 0.25 / len(each) ** 0.5
    return Correction(factor, len(each), spread)
