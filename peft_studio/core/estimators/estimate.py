"""The one answer type of every estimator: a number, the range it is expected in, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

Unit = Literal["bytes", "s", "usd"]
Number = float | Decimal  # dollars are Decimal, everything else float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is expected to take of one thing.

    Attributes:
        value: The most likely amount, in ``unit``; the sum of ``parts`` where there are any.
        low, high: Nine in ten of the runs that the estimator was held against lie between these.
        basis: In one sentence what the number rests on: "closed form from config.json", "3 real steps on this machine".
        parts: What it is made of, largest first as the caller likes it shown; empty where it is one thing.
    """

    value: Number
    low: Number
    high: Number
    unit: Unit
    basis: str
    parts: Mapping[str, Number] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"an estimate lies within its range, this one does not: {self.low} … {self.value} … {self.high}"
            )
