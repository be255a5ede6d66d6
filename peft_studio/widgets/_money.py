"""Dollars as the page shows them. All money is counted and rounded here: the browser gets words, and shares from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import Any

from peft_studio.core.compute.ledger import Total
from peft_studio.core.ports.compute import RunMeter
from peft_studio.core.words import usd
from peft_studio.widgets._text import plain

_NAME = 300
_TENTH = Decimal("0.0001")


def rate(usd_per_hour: Decimal | None) -> str:
    """``$0.40/h``; a rate below a cent keeps four decimals; "—" where it is not known."""
    if usd_per_hour is None:
        return "—"
    if 0 < usd_per_hour < Decimal("0.01"):
        return f"${usd_per_hour.quantize(_TENTH, rounding=ROUND_HALF_UP)}/h"
    return f"{usd(usd_per_hour)}/h"


def note_of(of: Total) -> str:
    """Whether it is billed or our own count."""
    if not of.usd:
        return ""
    if not of.is_estimate:
        return "billed"
    return f"{usd(of.billed_usd)} of it billed" if of.billed_usd else "estimated"


def title_of(name: str, titles: Mapping[str, str]) -> str:
    """A provider's own way to write itself."""
    return plain(titles.get(name, name), limit=_NAME)


def view_meter(meter: RunMeter | None, titles: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any] | None:
    """A rented run's cost; None for one on this machine. ``titles``: of providers, by name."""
    if meter is None:
        return None
    return {
        "spent": usd(meter.spent.usd),
        "note": note_of(meter.spent),
        "rate": None if meter.usd_per_hour is None else rate(meter.usd_per_hour) if meter.usd_per_hour else "no charge",
        "cap": None if meter.cap_usd is None else usd(meter.cap_usd),
        "share": _share(meter),
        "provider": title_of(meter.provider, titles),
        "gpu": plain(meter.gpu, limit=_NAME),
        "label": plain(meter.label, limit=_NAME),
        "until_at": meter.until_s,
    }


def _share(meter: RunMeter) -> float | None:
    """How much of the cap is used."""
    if not meter.cap_usd:
        return None
    return min(1.0, round(float(meter.spent.usd / meter.cap_usd), 3))
