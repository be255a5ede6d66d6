"""A quote as a person reads it: a value, its range and what it rests on, a line each. Knows quotes, computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from peft_studio.core.estimators import Estimate
from peft_studio.core.estimators.estimate import Number
from peft_studio.core.markup import block, facts
from peft_studio.core.words import duration, gib, usd

if TYPE_CHECKING:
    from peft_studio.core.services.quote import Quote

UNKNOWN = "—"
LEAST_SHARE = 0.02  # of the whole: smaller parts are not named
BADGES = {"ok": "OK", "tight": "Tight", "wont-fit": "Won't fit", "unknown": "Unknown"}


def quote_text(quote: Quote) -> str:
    """The quote in plain lines."""
    return "\n".join(f"{name:<8} {text}" for name, text in _lines(quote))


def quote_line(quote: Quote) -> str:
    """``OK: needs 1.2 (1.0–2.1) of 22.9 GiB; about 4 min 10 s (3 min–6 min); $0``."""
    shown = [f"{BADGES[quote.fit]}: {quote.sentence}"]
    shown += [_short(quote.duration, duration) if quote.duration else f"time {UNKNOWN}"]
    return "; ".join([*shown, _short(quote.cost, usd) if quote.cost else f"cost {UNKNOWN}"])


def quote_html(quote: Quote) -> str:
    """The quote as a table."""
    return block([facts(_lines(quote))])


def _lines(quote: Quote) -> list[tuple[str, str]]:
    rows = [("fit", f"{BADGES[quote.fit]}: {quote.sentence}"), ("on", quote.device)]
    rows += [
        ("memory", _line(quote.memory, gib)),
        ("time", _line(quote.duration, duration)),
        ("cost", _line(quote.cost, usd)),
    ]
    for name, estimate in (("memory", quote.memory), ("time", quote.duration), ("cost", quote.cost)):
        if estimate is not None:
            rows.append((f"{name} by", estimate.basis))
    return rows + [("note", note) for note in quote.notes]


def _line(estimate: Estimate | None, words: Callable[[Number], str]) -> str:
    if estimate is None:
        return UNKNOWN
    text = _short(estimate, words)
    if len(estimate.parts) > 1:
        worth = [part for part in estimate.parts.items() if float(part[1]) >= LEAST_SHARE * float(estimate.value)]
        ordered = sorted(worth, key=lambda part: -part[1])
        text += ": " + ", ".join(f"{name} {words(amount)}" for name, amount in ordered)
    return text


def _short(estimate: Estimate, words: Callable[[Number], str]) -> str:
    value, low, high = words(estimate.value), words(estimate.low), words(estimate.high)
    return f"about {value} ({low}–{high})" if low != high else value
