"""Machines as the Compute panel shows them: words of quotes and offers, made harmless. Computes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from peft_studio.core.estimators.estimate import Number
from peft_studio.core.markup import block, escape, table
from peft_studio.core.ports.offers import Stock
from peft_studio.core.services.offers import STOCKS, say_gpu, say_memory, say_more
from peft_studio.core.services.quote_view import UNKNOWN
from peft_studio.core.words import duration, usd
from peft_studio.widgets._money import title_of as title_of
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.estimators import Estimate
    from peft_studio.core.ports.offers import Offer
    from peft_studio.core.services.quote_list import QuoteList
    from peft_studio.core.services.quotes import OfferQuote

NAME, WORDS, MOST_NOTES, MOST_REGIONS = 120, 600, 8, 60
_TENTH = Decimal("0.001")  # of a cent
_ELSEWHERE = ("studio.connect(", " is sold out. Nearest:")
_MOVES = {"seen_at", "stock", "reliability"}  # of an offer, without its terms being others

Section = dict[str, Any]
Titles = Mapping[str, str]


def terms_of(offer: Offer) -> str:
    """What is agreed to when an offer is taken: all of it but what changes by the minute."""
    return json.dumps(offer.model_dump(mode="json", exclude=_MOVES), sort_keys=True)


def key_of(row: OfferQuote) -> str:
    """Of a machine with its terms and of what would run there: another price is another key."""
    terms = terms_of(row.offer) if row.offer else "local"
    return "m-" + hashlib.sha256(f"{terms}\0{row.spec.model_dump_json()}".encode()).hexdigest()[:24]


def view_row(row: OfferQuote, titles: Titles, keys: Mapping[tuple[str, str], str]) -> Section:
    """One line of the table. ``keys``: of all offers, for those to take in its place."""
    quote = row.quote
    return {
        "key": key_of(row),
        "fit": quote.fit if quote else "unknown",
        "needs": plain(quote.sentence, limit=WORDS) if quote else "This card is not in the device table.",
        "total": amount(row.cost, usd),
        "time": amount(row.duration, duration),
        "basis": plain(row.cost.basis, limit=WORDS) if row.cost else "",
        "fits": row.fits,
        **(_view_offer(row, titles, keys) if row.offer else _view_local(row)),
    }


def _view_local(row: OfferQuote) -> Section:
    device = row.quote.device if row.quote else ""
    return {
        "local": True, "provider": "This machine", "gpu": plain(device, limit=NAME), "detail": "", "per_hour": "$0", "includes": "",
        "starts": "at once", "starts_basis": "", "starts_by": "", "spot": False, "queues": False, "stock": UNKNOWN, "to_be_had": True, "seen_at": None, "in_place": [],
    }  # fmt: skip


def _view_offer(row: OfferQuote, titles: Titles, keys: Mapping[tuple[str, str], str]) -> Section:
    offer = row.offer
    assert offer is not None
    host = "" if offer.reliability is None else f"host up {offer.reliability:.1%}"
    memory = "" if offer.gpu_memory_gib is None else say_memory(offer)
    waits = has_line(offer)
    in_place = [
        {
            "key": keys[one.offer.provider, one.offer.id],
            "words": plain(
                f"{say_gpu(one.offer)} at {title_of(one.offer.provider, titles)}, {one.offer.region or 'any region'}",
                limit=NAME,
            ),
            "more": say_more(row.more_usd[one.offer.provider, one.offer.id]),
        }
        for one in row.alternatives
        if (one.offer.provider, one.offer.id) in keys
    ]
    return {
        "local": False, "provider": title_of(offer.provider, titles), "gpu": plain(say_gpu(offer), limit=NAME),
        "detail": plain(", ".join(filter(None, [memory, offer.region or "any region", host])), limit=NAME * 2),
        "per_hour": say_rate(offer), "includes": plain(offer.includes, limit=WORDS),
        "starts": "in its turn" if waits else duration(row.start.value) if row.start else UNKNOWN, "queues": offer.queues, "starts_basis": plain(row.start.basis, limit=NAME) if row.start else "",
        "starts_by": "" if waits else plain(row.start.basis.partition(",")[0].partition(" of ")[0], limit=NAME) if row.start else "",
        "spot": offer.spot, "stock": plain(STOCKS.get(offer.stock, offer.stock.value), limit=NAME), "to_be_had": row.is_to_be_had,
        "seen_at": offer.seen_at.timestamp(), "in_place": in_place,
    }  # fmt: skip


def view_notices(quotes: QuoteList, titles: Titles) -> list[Section]:
    """Providers that did not answer, each with its reason, and whether its offers of before are shown."""
    return [
        {"title": title_of(name, titles), "why": plain(why, limit=WORDS), "old": old}
        for found, old in ((quotes.missing, False), (quotes.old, True))
        for name, why in found.items()
    ]


def view_notes(quotes: QuoteList) -> list[str]:
    """What else the quotes have to say: who did not answer, that nobody is connected and what to take instead stand elsewhere."""
    said = {f"{name}: {why}" for name, why in {**quotes.missing, **quotes.old}.items()}
    notes = [note for note in quotes.notes if note not in said and not any(word in note for word in _ELSEWHERE)]
    return [plain(note, limit=WORDS) for note in notes[:MOST_NOTES]]


def amount(estimate: Estimate | None, words: Callable[[Number], str]) -> Section:
    """A number and its range, in words; the range is empty where it has none."""
    if estimate is None:
        return {"value": UNKNOWN, "range": ""}
    value, low, high = words(estimate.value), words(estimate.low), words(estimate.high)
    return {"value": value, "range": "" if low == high else f"{low}–{high}"}


def has_line(offer: Offer) -> bool:
    """Whether no place of a cluster is free; how long one takes is not known."""
    return offer.queues and offer.stock is Stock.UNKNOWN


def say_rate(offer: Offer) -> str:
    """``$0.39``, of an hour; ``$0``; ``$0.209`` where there is more of it, never less than it is."""
    if not offer.usd_per_hour:
        return "$0"
    exact = offer.usd_per_hour.quantize(_TENTH, ROUND_CEILING)
    return f"${exact:,}" if exact * 100 % 1 else f"${exact:,.2f}"


def build_snapshot(words: str, rows: Sequence[Section], notices: Sequence[Section]) -> str:
    """The machines when the notebook was saved: static, everything escaped."""
    heads = ("machine", "where", "fit", "total", "time in all", "$/h", "starts in")
    lines = [
        (
            one["gpu"], f"{one['provider']} {one['detail']}", one["fit"], f"{one['total']['value']} {one['total']['range']}",
            f"{one['time']['value']} {one['time']['range']}", one["per_hour"], one["starts"],
        )
        for one in rows[:12]
    ]  # fmt: skip
    said = [f"{one['title']} did not answer: {one['why']}" for one in notices]
    return block([
        f"<b>{escape(words)}</b>", table(heads, lines) if lines else "", *(f"<div>{escape(line)}</div>" for line in said),
        "<div>Snapshot: run this cell to make it live. Nothing has been rented here.</div>",
    ])  # fmt: skip
