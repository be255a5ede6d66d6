"""What a draft will need, as the Train panel shows it: memory with its parts, time, cost, each with range and basis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from peft_studio.core.words import duration, usd
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.estimators import Estimate
    from peft_studio.core.services.quote import Quote

_WORDS = 600  # characters

Section = dict[str, Any]


def build_quote_section(quote: Quote | None, *, busy: bool, measuring: bool, problem: dict[str, str] | None) -> Section:
    """``busy``: a newer quote is on its way; ``measuring``: how fast this machine trains is being found out."""
    if quote is None:
        said = plain(f"{problem['message']} {problem['hint']}", limit=_WORDS) if problem else ""
        return {
            "state": "busy" if busy and not problem else "none",
            "problem": said,
            **_NOTHING,
            "measuring": measuring,
        }
    return {
        "state": "busy" if busy else "ready",
        "fit": quote.fit,
        "memory": _estimate(quote.memory),
        "duration": _estimate(quote.duration),
        "cost": cost_words(quote),
        "device_bytes": quote.device_bytes,
        "measuring": measuring,
        "notes": [plain(note, limit=_WORDS) for note in quote.notes],
        "problem": "",
    }


_NOTHING: Section = {
    "fit": "unknown", "memory": None, "duration": None, "cost": "", "device_bytes": None, "notes": [],
}  # fmt: skip


def _estimate(estimate: Estimate | None) -> Section | None:
    if estimate is None:
        return None
    return {
        "value": float(estimate.value), "low": float(estimate.low), "high": float(estimate.high),
        "basis": plain(estimate.basis, limit=_WORDS),
        "parts": [[plain(name, limit=80), float(amount)] for name, amount in estimate.parts.items()],
    }  # fmt: skip


def cost_words(quote: Quote) -> str:
    """Dollars with their range; a machine of one's own charges nothing, which is said and not shown as $0.00."""
    cost = quote.cost
    if cost is None:
        return "cost not known"
    if not cost.high:
        return "no charge on this machine"
    value, low, high = map(usd, (cost.value, cost.low, cost.high))
    return f"about {value}" if low == high else f"about {value} ({low}–{high.removeprefix('$')})"


def snapshot_rows(quote: Quote | None) -> Iterator[tuple[str, str]]:
    """The estimates as rows of the picture that a saved notebook keeps."""
    if quote is None:
        return
    if quote.memory is not None:
        yield "Memory", quote.sentence
    if quote.duration is not None:
        yield (
            "Time",
            f"{duration(quote.duration.value)} ({duration(quote.duration.low)}–{duration(quote.duration.high)}), {cost_words(quote)}",
        )
