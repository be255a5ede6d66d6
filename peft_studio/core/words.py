"""Amounts as words, one way for terminal, notebook and panels: unit beside the number, the two largest units of a time. Pure text."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))
_CENT = Decimal("0.01")


def duration(seconds: float | Decimal) -> str:
    """The two largest units: ``48 s``, ``14 m 32 s``, ``2 h 41 m``, ``3 d 4 h``."""
    whole = max(0, round(float(seconds)))
    for size, unit, smaller_size, smaller in _UNITS:
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def gib(size_bytes: float | Decimal) -> str:
    """Memory: ``1.7 GiB``."""
    return f"{float(size_bytes) / 2**30:,.1f} GiB"


def disk(size_bytes: float) -> str:
    """Files and disks, in the thousands that those count in: ``270 MB``, ``1.7 GB``."""
    if size_bytes < 1e6:
        return f"{max(0.0, size_bytes) / 1e3:.0f} kB"
    return f"{size_bytes / 1e6:,.0f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:,.1f} GB"


def usd(amount: float | Decimal) -> str:
    """``$0.36``; below one cent ``<$0.01``; from $100 whole dollars; nothing is ``$0``."""
    exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    if not exact:
        return "$0"
    if exact < _CENT:
        return "<$0.01"
    return f"${exact:,.0f}" if exact >= 100 else f"${exact.quantize(_CENT, rounding=ROUND_HALF_UP):,.2f}"


def age(seconds: float) -> str:
    """How long ago, in its largest unit, never more than it is: ``48 s ago``, ``3 h ago``."""
    whole = max(0, int(seconds))
    for size, unit, *_ in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit} ago"
    return f"{whole} s ago"
