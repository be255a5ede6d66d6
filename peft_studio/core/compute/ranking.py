"""Which machine in place of another: pure rules over what is on sale. Knows no provider and asks nobody."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

MOST = 3  # alternatives that are worth reading


class OnSale(Protocol):
    """What is looked at of an offer."""

    @property
    def id(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def gpu(self) -> str | None: ...
    @property
    def gpu_count(self) -> int: ...
    @property
    def gpu_memory_gib(self) -> float | None: ...
    @property
    def usd_per_hour(self) -> Decimal: ...
    @property
    def stock(self) -> str: ...


O = TypeVar("O", bound=OnSale)  # noqa: E741


@dataclass(frozen=True, slots=True)
class Alternative(Generic[O]):
    """An offer in place of another. ``more_usd_per_hour``: than that one; negative where it costs less."""

    offer: O
    more_usd_per_hour: Decimal


def is_to_be_had(offer: OnSale) -> bool:
    """Whether one is left, as far as its provider says."""
    return offer.stock != "none"


def find_alternatives(
    wanted: O, offers: Iterable[O], *, min_memory_gib: float | None = None, most: int = MOST
) -> tuple[Alternative[O], ...]:
    """What to take while ``wanted`` is sold out: nearest by memory of a card, then by price; as many cards, in stock.

    Args:
        min_memory_gib: What a card must have; else as much as that of ``wanted``.
    """
    needs = wanted.gpu_memory_gib or 0.0 if min_memory_gib is None else min_memory_gib
    fit = [
        one for one in offers
        if is_to_be_had(one) and (one.provider, one.id) != (wanted.provider, wanted.id)
        and one.gpu_count == wanted.gpu_count and (one.gpu_memory_gib or 0.0) >= needs
    ]  # fmt: skip

    def distance(one: O) -> tuple[float, Decimal, str]:
        return abs((one.gpu_memory_gib or 0.0) - (wanted.gpu_memory_gib or 0.0)), one.usd_per_hour, one.id

    return tuple(Alternative(one, one.usd_per_hour - wanted.usd_per_hour) for one in sorted(fit, key=distance)[:most])


def is_called(gpu: str | None, words: str) -> bool:
    """Whether a card's name has all these words: "A100" in "NVIDIA A100 80GB PCIe", "L4" not in "NVIDIA L40S"."""
    parts = _words(gpu or "")
    known = {*parts, *("".join(pair) for pair in itertools.pairwise(parts))}  # "RTX4090", "80 GB"
    wanted = _words(words)
    return all(word in known for word in wanted) or "".join(wanted) in known


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())
