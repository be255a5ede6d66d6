"""Which machine in place of another, and which name means which card."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from peft_studio.core.compute.ranking import find_alternatives, is_called


@dataclass(frozen=True)
class Card:
    id: str
    gpu_memory_gib: float | None
    usd_per_hour: Decimal
    stock: str = "high"
    gpu_count: int = 1
    provider: str = "p"
    gpu: str | None = "x"


def card(id: str, memory: float | None, usd: str, **more: object) -> Card:
    return Card(id, memory, Decimal(usd), **more)  # type: ignore[arg-type]


WANTED = card("wanted", 80, "1.64", stock="none")
SALE = [
    WANTED, card("far", 141, "3.5"), card("near", 94, "2.5"), card("same", 80, "2.0"), card("same, cheaper", 80, "1.2"),
    card("small", 48, "0.8"), card("unknown", None, "0.1"), card("gone", 80, "1.0", stock="none"), card("eight", 80, "9", gpu_count=8),
]  # fmt: skip


def test_nearest_by_memory_then_by_price() -> None:
    """As many cards, in stock, and no less memory; each with its difference in dollars."""
    found = find_alternatives(WANTED, SALE)
    assert [(one.offer.id, str(one.more_usd_per_hour)) for one in found] == [
        ("same, cheaper", "-0.44"), ("same", "0.36"), ("near", "0.86"),
    ]  # fmt: skip


def test_less_memory_will_do_where_it_is_enough() -> None:
    """With what the run needs said, a smaller card may stand in; nearest still first."""
    found = find_alternatives(WANTED, SALE, min_memory_gib=40, most=5)
    assert [one.offer.id for one in found] == ["same, cheaper", "same", "near", "small", "far"]
    assert find_alternatives(card("huge", 288, "9"), SALE) == ()


@pytest.mark.parametrize(
    ("gpu", "words", "is_it"),
    [
        ("NVIDIA A100 80GB PCIe", "A100", True), ("NVIDIA A100 80GB PCIe", "a100 80 gb", True), ("A100_SXM4", "A100", True),
        ("NVIDIA L40S", "L4", False), ("NVIDIA L40S", "l40s", True), ("NVIDIA GeForce RTX 4090", "RTX4090", True), ("RTX 4090", "4090", True),
        ("NVIDIA H100 80GB HBM3", "H200", False), (None, "A100", False),
    ],
)  # fmt: skip
def test_a_card_is_known_by_words_of_its_name(gpu: str | None, words: str, is_it: bool) -> None:
    """Whole words, however they are joined."""
    assert is_called(gpu, words) == is_it
