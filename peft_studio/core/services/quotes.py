"""What one spec would take on every machine that is on sale, from the request to buy until the machine is gone: hours and dollars.

Joins offers with estimates and knows no provider. A card that is not in the device table gets no number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

from peft_studio.core.compute import Gpu, find_gpu, gpu_speed
from peft_studio.core.compute.ranking import Alternative, find_alternatives, is_to_be_had
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.estimators import Estimate, estimate_cost
from peft_studio.core.estimators.duration import DOWNLOAD
from peft_studio.core.ports.offers import Offer, Stock
from peft_studio.core.services.quote import (
    NONE,
    WEIGHT_BYTES,
    Corrections,
    Place,
    Quote,
    build_quote,
    find_shapes,
)
from peft_studio.core.services.start_history import Start, estimate_start, find_install_s
from peft_studio.core.spec import Basis, RunSpec

GIB = 2**30
SHOWN_SHARE = 0.94  # of a card's memory as sold that its driver shows at least, see core.compute.gpus
PACKAGES_BYTES = 3.0e9  # torch with its CUDA libraries, and the rest of what a run imports
UNPACK_S = (30.0, 15.0, 90.0)
SYSTEM_GB = 20  # of disk, for the packages as they are installed and a little room


@dataclass(frozen=True, slots=True)
class OfferQuote:
    """A spec on one machine.

    Attributes:
        provider: ``local`` for this machine, which has no ``offer``.
        spec: As it would be there: what nobody chose is derived for that card.
        quote: Memory, fit and the training itself; None for a card that is not known.
        start: Until the machine answers.
        duration: All of it: start, installation, download, run. cost: All dollars, with disk and traffic.
        equal: Whether the card is no less than the one the spec was made on; None where that is not known.
        alternatives: Where it is sold out. ``more_usd``: what each costs more than it for this run.
    """

    provider: str
    spec: ExplainedSpec
    offer: Offer | None = None
    quote: Quote | None = None
    start: Estimate | None = None
    duration: Estimate | None = None
    cost: Estimate | None = None
    equal: bool | None = None
    alternatives: tuple[Alternative[Offer], ...] = ()
    more_usd: Mapping[tuple[str, str], Decimal] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def fits(self) -> bool:
        """Whether it is known to fit."""
        return self.quote is not None and self.quote.fit in ("ok", "tight")

    @property
    def is_to_be_had(self) -> bool:
        """Whether one is left, as far as its provider says."""
        return self.offer is None or is_to_be_had(self.offer)


def build_offer_quotes(
    spec: ExplainedSpec,
    home: Path,
    offers: Sequence[Offer],
    *,
    history: Sequence[Start] = (),
    corrections: Corrections = NONE,
    made_on: Basis | None = None,
) -> list[OfferQuote]:
    """Quote a spec for every offer with a card, in no order. Of several cards the run takes those that help it.

    Args:
        history: How long machines really took to start.
        made_on: What the machine was like that the spec comes from.
    """
    shapes = find_shapes(spec.model, home)
    weights_bytes = shapes.parameters * WEIGHT_BYTES if shapes else None
    there: dict[tuple[str, float, int], tuple[ExplainedSpec, Quote]] = {}
    found = []
    for offer in offers:
        gpu = find_gpu(offer.gpu or "")
        if gpu is None:
            found.append(
                OfferQuote(offer.provider, spec, offer, start=estimate_start(history, offer.provider, offer.gpu))
            )
            continue
        place = place_of(offer, gpu)
        key = gpu.name, place.memory_bytes or 0.0, place.gpus
        if key not in there:
            fitted = fit_to_card(spec, gpu, memory_bytes=key[1])
            there[key] = fitted, build_quote(fitted, home, place, corrections=corrections)
        fitted, quote = there[key]
        found.append(
            _quote_offer(OfferQuote(offer.provider, fitted, offer, quote, equal=_is_equal(made_on, gpu, key[1])), history, weights_bytes)
        )  # fmt: skip
    return _with_alternatives(found)


def find_best_place(spec: ExplainedSpec, home: Path, offers: Sequence[Offer]) -> Offer | None:
    """The place that a run is put on among those that cost nothing: what is free and fits before what is busy, a card before none."""

    def order(row: OfferQuote) -> tuple[bool, bool, bool, float]:
        offer = row.offer
        assert offer is not None
        known_s = float(row.duration.value) if row.duration else math.inf
        return row.quote is not None and not row.fits, offer.stock is Stock.UNKNOWN, offer.gpu is None, known_s

    return min(build_offer_quotes(spec, home, offers), key=order).offer if offers else None


def place_of(offer: Offer, gpu: Gpu) -> Place:
    """Where a run would go that takes an offer: memory as the provider says, speed by the card's data sheet."""
    memory_gib = offer.gpu_memory_gib or gpu.memory_gib
    return Place("cuda", gpu.name, memory_gib * GIB, gpu_speed(gpu), offer.rules, here=False, gpus=offer.gpu_count)


def fit_to_card(spec: ExplainedSpec, gpu: Gpu, *, memory_bytes: float) -> ExplainedSpec:
    """A spec as it would be on a card: what nobody chose is derived again from what the card has."""
    shown = int(memory_bytes * SHOWN_SHARE) // GIB * GIB
    basis = spec.basis.model_copy(update={"device": "cuda", "bf16": gpu.bf16 is not None, "free_bytes": shown})
    return spec.replace(basis=basis)


def disk_gib(weights_bytes: float | None) -> int:
    """Disk to ask for, in steps of ten: packages, the base model twice over (as it comes, as it is kept), checkpoints."""
    needed = SYSTEM_GB + 2 * (weights_bytes or 0.0) / 1e9
    return max(40, math.ceil(needed / 10) * 10)


def changes(before: RunSpec, after: RunSpec) -> list[str]:
    """``precision: fp32 → bf16``, for every field that a card makes different."""
    names = sorted(set(RunSpec.model_fields) - {"basis", "data", "version"})
    return [
        f"{name}: {getattr(before, name)} → {getattr(after, name)}" for name in names if getattr(before, name) != getattr(after, name)
    ]  # fmt: skip


def _quote_offer(row: OfferQuote, history: Sequence[Start], weights_bytes: float | None) -> OfferQuote:
    offer, quote = row.offer, row.quote
    assert offer is not None and quote is not None  # noqa: PT018
    start = estimate_start(history, offer.provider, offer.gpu)
    if quote.duration is None:
        return replace(row, start=start)
    usable = _add(quote.duration, install=_estimate_install(history, offer.provider))
    whole = _add(usable, start=start)
    rules = replace(offer.rules, bills_start=True)  # what is not billed of the start is left out of what is counted
    cost = estimate_cost(
        whole if offer.bills_start else usable, rules, disk_bytes=disk_gib(weights_bytes) * 1e9,
        download_bytes=PACKAGES_BYTES + (weights_bytes or 0.0),
    )  # fmt: skip
    return replace(row, start=start, duration=whole, cost=replace(cost, basis=f"{cost.basis}; {start.basis}"))


def _estimate_install(history: Sequence[Start], provider: str) -> Estimate:
    seen = find_install_s(history, provider)
    if len(seen) >= 3:
        return Estimate(seen[len(seen) // 2], seen[0], seen[-1], "s", f"{len(seen)} installations at this provider")
    value, low, high = (
        PACKAGES_BYTES / speed + unpack
        for speed, unpack in zip((DOWNLOAD.value, DOWNLOAD.high, DOWNLOAD.low), UNPACK_S, strict=True)
    )
    return Estimate(value, low, high, "s", "3 GB of packages, assumed")


def _add(duration: Estimate, **more: Estimate) -> Estimate:
    """A duration with parts before it. Their ends are added up, so the range is rather too wide than too narrow."""
    parts = {**{name: one.value for name, one in more.items()}, **duration.parts}
    value, low, high = (
        sum(float(getattr(one, end)) for one in (duration, *more.values())) for end in ("value", "low", "high")
    )
    basis = "; ".join([duration.basis, *(f"{name}: {one.basis}" for name, one in more.items())])
    return Estimate(value, low, high, "s", basis, MappingProxyType(parts))


def _is_equal(made_on: Basis | None, gpu: Gpu, memory_bytes: float) -> bool | None:
    """Whether a card has the memory of the one before, and bfloat16 where that had it."""
    if made_on is None or made_on.device != "cuda" or made_on.free_bytes is None:
        return None
    return memory_bytes * SHOWN_SHARE // GIB * GIB >= made_on.free_bytes and (gpu.bf16 is not None or not made_on.bf16)


def _with_alternatives(rows: list[OfferQuote]) -> list[OfferQuote]:
    """For what is sold out, what fits and is to be had in its place."""
    costs = {
        (row.provider, row.offer.id): row.cost
        for row in rows
        if row.offer and row.cost and row.fits and row.is_to_be_had
    }
    there = [row.offer for row in rows if row.offer and (row.provider, row.offer.id) in costs]
    made = []
    for row in rows:
        if row.offer is None or row.is_to_be_had or row.cost is None or not row.fits:
            made.append(row)
            continue
        found = find_alternatives(row.offer, there, min_memory_gib=0.0)
        keys = [(one.offer.provider, one.offer.id) for one in found]
        more = {key: Decimal(costs[key].value) - Decimal(row.cost.value) for key in keys}
        made.append(replace(row, alternatives=found, more_usd=MappingProxyType(more)))
    return made
