"""Where the machine that is rented does not start: which are tried next, as the dialog lists them and as Python says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import StudioError
from peft_studio.core.services.next_best import NextBest, find_next_best
from peft_studio.core.services.offers import say_gpu, say_more
from peft_studio.widgets._compute_view import NAME, key_of, say_rate, title_of
from peft_studio.widgets._compute_work import NOTHING_RENTED
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.services.quotes import OfferQuote


def find_next(row: OfferQuote, rows: Sequence[OfferQuote], at_most: str) -> tuple[NextBest, ...]:
    """Those within a cap as the dialog says it; none while it is no cap."""
    if not at_most:
        return ()
    return find_next_best(row, rows, budget_usd=Decimal(at_most.removeprefix("$").replace(",", "")))


def pick_next(
    row: OfferQuote, rows: Sequence[OfferQuote], budget_usd: Decimal | None, keys: Sequence[str]
) -> list[OfferQuote]:
    """Those of them that were confirmed, by their keys.

    Raises:
        StudioError: One of these is not what was shown.
    """
    found = find_next_best(row, rows, budget_usd=budget_usd) if budget_usd is not None else ()
    picked = [one.row for one in found if key_of(one.row) in keys]
    if len(picked) != len(keys):
        raise StudioError(
            f"What is on sale to be tried next is not what you chose. {NOTHING_RENTED}", hint="Look at it again."
        )
    return picked


def view_next(one: NextBest, titles: Mapping[str, str], *, on: bool) -> dict[str, Any]:
    """A line of the list. ``on``: whether it is to be tried."""
    offer = one.offer
    where = f"{say_gpu(offer)} at {title_of(offer.provider, titles)}, {offer.region or 'any region'}"
    return {
        "key": key_of(one.row),
        "words": plain(where, limit=NAME * 2),
        "more": say_more(one.more_usd),
        "per_hour": say_rate(offer),
        "may_meet_cap": one.may_meet_cap,
        "on": on,
    }


def launch_code(rows: Sequence[OfferQuote], proposal: Mapping[str, Any]) -> str:
    """Python that launches on the first of these machines, and falls back on the others in their order."""
    caps = ""
    if not proposal["problem"]:
        usd = proposal["at_most"].removeprefix("$").replace(",", "")
        caps = f", max_usd={usd!r}, max_hours={proposal['max_hours'] or 24}"
    offers = [row.offer for row in rows if row.offer]
    ids = [plain(offer.id) for offer in offers]
    names = sorted({offer.provider for offer in offers})
    look = f"quotes = studio.quotes(spec, provider={(names if names[1:] else names[0])!r})\n"
    if len(ids) == 1:
        row = f"row = next(one for one in quotes if one.offer and one.offer.id == {ids[0]!r})\n"
        return f"{look}{row}studio.launch(row.spec, compute=row.offer{caps})"
    return (
        f"{look}there = {{one.offer.id: one for one in quotes if one.offer}}\n"
        f"rows = [there[name] for name in {ids!r} if name in there]  # where one does not start, the next is taken\n"
        f"studio.launch(rows[0].spec, compute=[row.offer for row in rows]{caps})"
    )
