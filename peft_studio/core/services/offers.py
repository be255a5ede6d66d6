"""What is on sale at all connected providers at once: asked for now, from before where one does not answer, and as old as it says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from peft_studio.core.compute.ranking import Alternative, find_alternatives, is_called, is_to_be_had
from peft_studio.core.errors import StudioError
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports.catalog import Catalog, Pending
from peft_studio.core.ports.offers import Offer, OfferQuery, Offers, Stock
from peft_studio.core.services.gather import gather
from peft_studio.core.services.table import Table
from peft_studio.core.words import age, usd

if TYPE_CHECKING:
    import pandas

OFFERS_S = 12.0
STOCKS: Mapping[Stock, str] = {Stock.NONE: "sold out", Stock.UNKNOWN: "—"}


class OfferList(Table[Offer]):
    """Machines on sale, those in stock first, the cheapest of these first. What did not come stands in ``missing`` with its reason.

    ``alternatives``: by provider and id of what is sold out, what to take in its place.
    """

    HEADS = ("gpu", "memory", "provider", "region", "$/h", "spot", "stock", "reliability", "seen", "price includes")
    nothing = "No offers."

    def __init__(
        self,
        offers: Sequence[Offer],
        *,
        missing: Mapping[str, str],
        old: Mapping[str, str],
        others: Sequence[Offer] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.missing, self.old = dict(missing), dict(old)
        sold_out = [one for one in offers if not is_to_be_had(one)]
        self.alternatives: Mapping[tuple[str, str], tuple[Alternative[Offer], ...]] = {
            (one.provider, one.id): find_alternatives(one, others or offers) for one in sold_out
        }
        notes = [*notes, *(f"{name}: {why}" for name, why in {**self.missing, **self.old}.items())]
        if sold_out and len(sold_out) == len(offers):
            notes.append(_say_alternatives(sold_out[0], self.alternatives[sold_out[0].provider, sold_out[0].id]))
        super().__init__(sorted(offers, key=_order), notes=notes)

    def cells(self, row: Offer) -> tuple[str, ...]:
        """A row's texts; "—" for what is not known."""
        return (
            say_gpu(row), say_memory(row), row.provider, row.region or "any", f"${row.usd_per_hour:,.2f}", "yes" if row.spot else "no",
            STOCKS.get(row.stock, row.stock.value), "—" if row.reliability is None else f"{row.reliability:.1%}".replace("%", " %"),
            say_seen(row), row.includes or "—",
        )  # fmt: skip

    def to_pandas(self) -> pandas.DataFrame:
        """One row an offer, every field of it."""
        import pandas

        return pandas.DataFrame([row.model_dump() for row in self.rows], columns=list(Offer.model_fields))


def fetch_offers(
    catalog: Catalog,
    providers: Sequence[str],
    query: OfferQuery,
    *,
    cache: Cache,
    make_ready: Callable[[str], None] = lambda name: None,
    deadline_s: float = OFFERS_S,
) -> OfferList:
    """Ask all of them at once. Of one that does not answer come its offers of before, with their age, where there are any.

    Where everything that was asked for is sold out, what else they have is looked at for alternatives.
    """
    found, missing, old = _fetch(catalog, providers, query, cache=cache, make_ready=make_ready, deadline_s=deadline_s)
    wanted = [one for one in found if is_wanted(one, query)]
    others = found
    if wanted and query.gpu and not any(map(is_to_be_had, wanted)):
        open_query = query.model_copy(update={"gpu": None, "spot": None, "region": None})
        others, _, _ = _fetch(catalog, providers, open_query, cache=cache, make_ready=make_ready, deadline_s=deadline_s)
    return OfferList(wanted, missing=missing, old=old, others=others)


def merge_offers(lists: Sequence[OfferList]) -> OfferList:
    """Several answers as one, each offer once."""
    if len(lists) == 1:
        return lists[0]
    offers = {(one.provider, one.id): one for found in lists for one in found}
    missing = {name: why for found in lists for name, why in found.missing.items()}
    old = {name: why for found in lists for name, why in found.old.items()}
    return OfferList(list(offers.values()), missing=missing, old=old)


def is_wanted(offer: Offer, query: OfferQuery) -> bool:
    """Whether an offer is what was asked for: connectors may answer with more."""
    return (
        offer.machines == query.machines
        and (query.gpu is None or is_called(offer.gpu, query.gpu))
        and (query.min_memory_gib is None or (offer.gpu_memory_gib or 0.0) >= query.min_memory_gib)
        and (query.spot is None or offer.spot == query.spot)
        and (query.region is None or query.region.lower() in (offer.region or "").lower())
    )


def say_gpu(offer: Offer) -> str:
    """``2 × NVIDIA L4``."""
    if offer.gpu is None:
        return "no GPU"
    return offer.gpu if offer.gpu_count == 1 else f"{offer.gpu_count} × {offer.gpu}"


def say_place(offer: Offer) -> str:
    """``NVIDIA L4 at runpod, secure cloud``."""
    return f"{say_gpu(offer)} at {offer.provider}" + (f", {offer.region}" if offer.region else "")


def say_memory(offer: Offer) -> str:
    """Of one card: ``80 GiB``, ``47.5 GiB``."""
    return "—" if offer.gpu_memory_gib is None else f"{offer.gpu_memory_gib:.1f}".removesuffix(".0") + " GiB"


def say_seen(offer: Offer) -> str:
    """``just now``, ``3 h ago``."""
    seconds = (datetime.now(UTC) - offer.seen_at).total_seconds()
    return "just now" if seconds < 60 else age(seconds)


def say_more(amount: Any) -> str:
    """A difference in dollars: ``+$0.30``, ``−$1.10``, ``the same``, ``about the same`` within a cent."""
    if amount and abs(amount) < Decimal("0.01"):
        return "about the same"
    return "the same" if not amount else f"{'+' if amount > 0 else '−'}{usd(abs(amount))}"


def _say_alternatives(wanted: Offer, found: Sequence[Alternative[Offer]]) -> str:
    if not found:
        return f"{say_gpu(wanted)} is sold out, and nothing with as much memory is to be had now."
    named = (f"{say_place(one.offer)} ({say_more(one.more_usd_per_hour)} an hour)" for one in found)
    return f"{say_gpu(wanted)} is sold out. Nearest: {'; '.join(named)}."


def _fetch(
    catalog: Catalog,
    providers: Sequence[str],
    query: OfferQuery,
    *,
    cache: Cache,
    make_ready: Callable[[str], None],
    deadline_s: float,
) -> tuple[list[Offer], dict[str, str], dict[str, str]]:
    """Offers, and by provider why there are none, or how old they are and why."""
    calls: dict[str, Pending[Offers]] = {}
    errors: dict[str, StudioError] = {}
    before = {name: catalog.health(name) for name in providers}
    for name in providers:
        try:
            make_ready(name)
            calls[name] = catalog.start(name, Offers, lambda one: list_offers(one, query), deadline_s=deadline_s)
        except StudioError as exc:
            errors[name] = exc
    answers = gather(calls, before, errors, deadline_s=deadline_s)
    found: list[Offer] = []
    missing: dict[str, str] = {}
    old: dict[str, str] = {}
    for name in providers:
        if name in answers:
            keep_offers(cache, name, query, answers[name])
            found += answers[name].offers
        elif known := find_kept_offers(cache, name, query):
            offers, as_of = known
            found += offers
            old[name] = f"{as_of}, because: {errors[name].message}"
        else:
            missing[name] = errors[name].message
    return found, missing, old


def list_offers(connector: Any, query: OfferQuery) -> Offers:
    """A connector's answer; none of one that sells nothing."""
    if not hasattr(connector, "list_offers"):
        return Offers(offers=())  # it says why in ``unsupported``
    offers: Offers = connector.list_offers(query)
    return offers


def keep_offers(cache: Cache, name: str, query: OfferQuery, offers: Offers) -> None:
    """Keep what a provider answered to a question."""
    with contextlib.suppress(OSError):  # no room on the disk: the value is there all the same
        cache.save(offers_key(name, query), offers.model_dump(mode="json"))


def find_kept_offers(cache: Cache, name: str, query: OfferQuery) -> tuple[tuple[Offer, ...], str] | None:
    """What a provider said last to the same question, and its age in words."""
    kept = cache.find(offers_key(name, query))
    if kept is None:
        return None
    try:
        return Offers.model_validate(kept.value).offers, kept.as_of
    except ValueError:  # of an older version of this program
        return None


def offers_key(name: str, query: OfferQuery) -> str:
    """Under which a provider's answer is kept."""
    return f"offers {name} {query.model_dump_json()}"


def _order(offer: Offer) -> tuple[bool, Any, str]:
    return not is_to_be_had(offer), offer.usd_per_hour, offer.id
