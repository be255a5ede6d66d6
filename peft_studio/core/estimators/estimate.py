"""The one answer type of all estimators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its range, its unit and what it rests on. ``parts`` add up to ``value`` where there are any."""

    value: float
    low: float
    high: float
    unit: str
    basis: str
    parts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.low <= self.value <= self.high
