"""Quotes side by side: this machine first where the run fits, then what costs least in all; what is not known stands last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from peft_studio.core.compute.ranking import Alternative
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.estimators import Estimate
from peft_studio.core.estimators.estimate import Number
from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.offers import STOCKS, OfferList, say_gpu, say_more, say_place
from peft_studio.core.services.quote import Corrections, Place, build_quote
from peft_studio.core.services.quote_view import BADGES, UNKNOWN
from peft_studio.core.services.quotes import OfferQuote, build_offer_quotes, changes
from peft_studio.core.services.start_history import ASSUMED, Start
from peft_studio.core.services.table import Table
from peft_studio.core.spec import Basis
from peft_studio.core.words import duration, gib, usd

if TYPE_CHECKING:
    import pandas

COLUMNS = ("provider", "gpu", "gpu_count", "region", "fit", "usd", "usd_low", "usd_high", "s", "s_low", "s_high", "start_s", "usd_per_hour", "spot", "stock")  # fmt: skip


class QuoteList(Table[OfferQuote]):
    """One row a machine. ``missing``: providers that gave nothing, with the reason; ``old``: those whose offers are of before, with age and reason."""

    HEADS = ("where", "gpu", "fit", "total", "time in all", "starts in", "$/h", "region", "spot", "stock")
    nothing = "Nothing is on sale at a connected provider."

    def __init__(
        self, rows: Sequence[OfferQuote], *, missing: Mapping[str, str], old: Mapping[str, str] = MappingProxyType({}), notes: Sequence[str] = ()
    ) -> None:  # fmt: skip
        self.missing, self.old = dict(missing), dict(old)
        super().__init__(sorted(rows, key=_order), notes=notes)

    @property
    def cheapest(self) -> OfferQuote | None:
        """The first that fits, is known and is to be had."""
        return next((row for row in self.rows if row.fits and row.cost and row.is_to_be_had), None)

    @property
    def equal_or_better(self) -> tuple[OfferQuote, ...]:
        """Those whose card is no less than the one that an imported spec was made on."""
        return tuple(row for row in self.rows if row.equal)

    def cells(self, row: OfferQuote) -> tuple[str, ...]:
        """A row's texts; "—" for what is not known."""
        offer = row.offer
        fit = BADGES[row.quote.fit] if row.quote else UNKNOWN
        money, hours = _say(row.cost, usd), _say(row.duration, duration)
        if offer is None:
            return (
                "local",
                row.quote.device if row.quote else UNKNOWN,
                fit,
                money,
                hours,
                "at once",
                "$0",
                "here",
                "no",
                UNKNOWN,
            )
        return (
            row.provider, say_gpu(offer), fit, money, hours, _say(row.start, duration), f"${offer.usd_per_hour:,.2f}", offer.region or "any",
            "yes" if offer.spot else "no", STOCKS.get(offer.stock, offer.stock.value),
        )  # fmt: skip

    def to_pandas(self) -> pandas.DataFrame:
        """One row a machine, numbers as numbers."""
        import pandas

        return pandas.DataFrame([_values(row) for row in self.rows], columns=list(COLUMNS))


def build_quote_list(
    spec: ExplainedSpec,
    home: Path,
    offers: OfferList,
    *,
    local: Place,
    history: Sequence[Start] = (),
    corrections: Corrections,
    made_on: Basis | None = None,
) -> QuoteList:
    """This machine and every offer with a card, or of a cluster of one's own, in order."""
    with_gpu = [one for one in offers if (one.gpu is not None and one.gpu_count) or one.queues]
    rows = build_offer_quotes(spec, home, with_gpu, history=history, corrections=corrections, made_on=made_on)
    here = build_quote(spec, home, local, corrections=corrections)
    rows.append(OfferQuote("local", spec, quote=here, duration=here.duration, cost=here.cost))
    made = QuoteList(rows, missing=offers.missing)
    notes = [*offers.notes, *here.notes]
    if more := len(offers) - len(with_gpu):
        notes.append(
            "1 offer without a GPU is left out." if more == 1 else f"{more} offers without a GPU are left out."
        )
    if (best := made.cheapest) and best.offer and best.offer.gpu_count > 1 and best.quote:
        notes += [f"On {say_place(best.offer)}: {note}" for note in best.quote.notes if " × " in note]
    if any(row.cost and row.start == ASSUMED for row in rows):
        notes.append(
            f"{ASSUMED.basis.capitalize()}: {duration(ASSUMED.low)} to {duration(ASSUMED.high)} until one answers."
        )
    notes += _say_unknown(rows)
    notes += [_say_sold_out(row) for row in made.rows if row.alternatives][:1]
    notes += _say_origin(made, made_on)
    if (best := made.cheapest) and best.offer and (differs := changes(spec, best.spec)):
        notes.append(f"On {say_place(best.offer)}: {'; '.join(differs)}.")
    return QuoteList(rows, missing=offers.missing, old=offers.old, notes=notes)


def _order(row: OfferQuote) -> tuple[int, Any, Any]:
    """Local where it fits; then by dollars what can be had, what is sold out, what does not fit; what is not known at the end."""
    if row.offer is None:
        return (0, 0, 0) if row.fits else (4, 0, 0)
    rate = row.offer.usd_per_hour
    if row.cost is None:
        return 5, rate, row.offer.id
    kind = 4 if not row.fits else 1 if row.is_to_be_had else 3
    return kind, row.cost.value, row.offer.id


def _say(estimate: Estimate | None, words: Callable[[Number], str]) -> str:
    if estimate is None:
        return UNKNOWN
    value, low, high = words(estimate.value), words(estimate.low), words(estimate.high)
    return f"{value} ({low}–{high})" if low != high else value


def _say_unknown(rows: Sequence[OfferQuote]) -> list[str]:
    cards = sorted({row.offer.gpu or "" for row in rows if row.offer and row.offer.gpu and row.quote is None})
    return [f"Not in the device table, so without numbers: {', '.join(cards)}."] if cards else []


def _say_sold_out(row: OfferQuote) -> str:
    assert row.offer is not None

    def say(one: Alternative[Offer]) -> str:
        more = row.more_usd[one.offer.provider, one.offer.id]
        return f"{say_place(one.offer)} ({say_more(more)} for this run)"

    return f"{say_place(row.offer)} is sold out. Nearest: {'; '.join(map(say, row.alternatives))}."


def _say_origin(made: QuoteList, made_on: Basis | None) -> list[str]:
    """Where an imported spec comes from, and what is no less than that."""
    if made_on is None or made_on.device != "cuda" or made_on.free_bytes is None:
        return []
    was = f"The spec was made on a GPU with {gib(made_on.free_bytes)} free{' and bf16' if made_on.bf16 else ''}"
    fit = [row for row in made.equal_or_better if row.offer and row.is_to_be_had]
    if not fit or fit[0].offer is None:
        return [f"{was}; no connected provider has an equal or better one now."]
    count = "1 offer is" if len(fit) == 1 else f"{len(fit)} offers are"
    return [
        f"{was}: {count} equal or better, the first {say_gpu(fit[0].offer)} at {fit[0].provider} ({_say(fit[0].cost, usd)})."
    ]


def _values(row: OfferQuote) -> tuple[Any, ...]:
    offer, cost, time = row.offer, row.cost, row.duration
    gpu, count, region = (offer.gpu, offer.gpu_count, offer.region) if offer else (None, None, None)
    numbers = [float(number) if number is not None else None for one in (cost, time) for number in ((one.value, one.low, one.high) if one else (None,) * 3)]  # fmt: skip
    start = float(row.start.value) if row.start else None
    rate, spot, stock = (float(offer.usd_per_hour), offer.spot, offer.stock.value) if offer else (0.0, False, None)
    return (row.provider, gpu, count, region, row.quote.fit if row.quote else None, *numbers, start, rate, spot, stock)
