"""What somebody agrees to who rents: money, caps, what leaves and comes back, what happens when this computer is away."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import SpecError
from peft_studio.core.services.offers import say_gpu
from peft_studio.core.services.quotes import changes
from peft_studio.core.services.rent.caps import DAY_HOURS, LONGEST_HOURS, Caps, read_caps, suggest_usd
from peft_studio.core.services.rent.order import LEASE_S
from peft_studio.core.services.rent.record import KEEP_S
from peft_studio.core.words import disk, duration, usd
from peft_studio.widgets._compute_view import NAME, WORDS, amount, has_line, key_of, say_rate, title_of
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.ports.offers import Offer
    from peft_studio.core.services.quotes import OfferQuote

_BILLED = {1: "by the second", 60: "by the started minute", 3600: "by the started hour"}
_CENT = Decimal("0.01")
GOES_ON = "Once training has begun, the run goes on without it."


def read_typed(offer: Offer, max_usd: str, max_hours: str) -> Caps:
    """Caps as they were typed, the dollars cut to whole cents.

    Raises:
        SpecError: Not an amount, or none that a machine could be rented for.
    """
    try:
        hours = float(max_hours.strip() or DAY_HOURS)
    except ValueError as exc:
        raise SpecError(
            f"{plain(max_hours, limit=40)!r} is no number of hours.", hint="Write it as 24.", fields=("max_hours",)
        ) from exc
    money = max_usd.strip().removeprefix("$").strip()
    if not money:
        raise SpecError("Name what it may cost at most.", hint="", fields=("max_usd",))
    try:
        amount_usd = Decimal(money).quantize(_CENT, ROUND_DOWN)
    except InvalidOperation:
        amount_usd = Decimal(-1)
    if amount_usd.is_nan() or amount_usd < 0:
        raise SpecError(
            f"{plain(money, limit=40)!r} is no amount of dollars.", hint="Write it as 1.20.", fields=("max_usd",)
        )
    return read_caps([offer], max_usd=amount_usd, max_hours=hours)


def build_proposal(
    row: OfferQuote, draft: ExplainedSpec, titles: Mapping[str, str], *, max_usd: str | None = None, max_hours: str | None = None
) -> dict[str, Any]:  # fmt: skip
    """The question before a machine is rented. Caps that were not typed are proposed."""
    offer = row.offer
    assert offer is not None
    suggested = suggest_usd(offer, row.cost)
    typed_usd = ("" if suggested is None else str(suggested)) if max_usd is None else max_usd
    usual_hours = DAY_HOURS if offer.usd_per_hour else LONGEST_HOURS  # what costs nothing may wait long for its turn
    typed_hours = f"{usual_hours:g}" if max_hours is None else max_hours
    title = title_of(offer.provider, titles)
    away, never_ends = _away(offer, title)
    billed = _BILLED.get(offer.granularity_s) or f"by started {duration(offer.granularity_s)}"
    return {
        "key": key_of(row),
        "gpu": plain(say_gpu(offer), limit=NAME),
        "provider": title,
        "place": plain(offer.region or "any region", limit=NAME),
        "per_hour": say_rate(offer),
        "billed": billed,
        "includes": plain(offer.includes.removeprefix(billed).lstrip("; "), limit=WORDS),
        "total": amount(row.cost, usd),
        "time": amount(row.duration, duration),
        "tight": bool(row.quote and row.quote.fit == "tight"),
        "changes": [plain(one, limit=NAME) for one in changes(draft, row.spec)[:6]],
        "leaves": _leaves(row.spec),
        "spot": offer.spot,
        "free": not offer.usd_per_hour,
        "queues": has_line(offer),
        "away": away,
        "never_ends": never_ends,
        "max_usd": plain(typed_usd, limit=40),
        "max_hours": plain(typed_hours, limit=40),
        **_read(offer, typed_usd, typed_hours),
    }


def _read(offer: Offer, max_usd: str, max_hours: str) -> dict[str, Any]:
    """What the caps come to, or why they are none."""
    try:
        caps = read_typed(offer, max_usd, max_hours)
    except SpecError as exc:
        field = exc.fields[0] if exc.fields else "max_usd"
        return {
            "at_most": "",
            "latest": "",
            "problem": {"field": field, "message": plain(f"{exc.message} {exc.hint}".strip(), limit=WORDS)},
        }
    return {"at_most": f"${caps.budget_usd:,.2f}", "latest": duration(caps.latest_s(offer)), "problem": None}


def _away(offer: Offer, title: str) -> tuple[str, str]:
    """What happens while this computer is away; and, where its machine cannot end itself, what that means."""
    if not offer.ends_itself:
        return GOES_ON, (
            f"{title} gives it no key for that. While this computer is away the work there can stop, but nothing ends the machine, whatever the cap: "
            "the bill goes on until you end it, here or at the provider."
        )
    kept = offer.usd_per_hour * Decimal(str(KEEP_S)) / 3600
    at = f" at {usd(kept)}" if kept else ""
    return (
        f"{GOES_ON} If this computer is off when it ends, the machine is kept {duration(KEEP_S)}{at}, then it ends itself and what was "
        f"not fetched is lost; keep_minutes of studio.launch keeps it longer. It ends itself, too, after {duration(LEASE_S)} with neither this computer nor progress, and at the end of its life."
    ), ""


def _leaves(spec: ExplainedSpec) -> str:
    rows = Path(spec.data.path)
    try:
        size = f" ({disk(rows.stat().st_size)})" if rows.is_file() else ""
    except OSError:
        size = ""
    return plain(
        f"{rows.name}{size}, the spec, and the base model where the machine cannot fetch it itself", limit=WORDS
    )
