"""Amounts read the same everywhere."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peft_studio.core import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (48.4, "48 s"),
        (60, "1 m"),
        (872, "14 m 32 s"),
        (9660, "2 h 41 m"),
        (273_600, "3 d 4 h"),
        (-1, "0 s"),
    ],
)
def test_a_time_is_its_two_largest_units(seconds: float, text: str) -> None:
    """No third unit, and no unit that is zero."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0"), ("0.004", "<$0.01"), ("0.125", "$0.13"), ("0.36", "$0.36"), ("99.994", "$99.99"), ("140.2", "$140")],
)
def test_money_is_in_cents_until_it_is_much(amount: str, text: str) -> None:
    """Halves go up, less than a cent is not nothing, and much has no cents."""
    assert words.usd(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 kB"),
        (-5, "0 kB"),
        (270_400, "270 kB"),
        (2_450_000, "2 MB"),
        (999_000_000, "999 MB"),
        (1_720_000_000, "1.7 GB"),
    ],
)
def test_files_count_in_thousands(size: int, text: str) -> None:
    """As disks do."""
    assert words.disk(size) == text


def test_memory_is_in_gib() -> None:
    """With one decimal."""
    assert words.gib(1.7 * 2**30) == "1.7 GiB"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "0 s ago"), (59.9, "59 s ago"), (60, "1 m ago"), (3 * 3600 + 3599, "3 h ago"), (86_400 * 2 + 1, "2 d ago")],
)
def test_age(seconds: float, expected: str) -> None:
    """The largest unit, never more than it is."""
    assert words.age(seconds) == expected
