"""Whether a base model can be trained on what is on sale: one verdict and its words, for code and panels. Pure: shapes and offers in.

The question of :mod:`peft_studio.core.services.model_fit`, put to every offer of one card. A card that is not in the device table is passed
over, and one that is sold out. Prices are the providers' own; what a run costs in all is told by its quotes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from peft_studio.core.compute import Gpu, find_gpu
from peft_studio.core.compute.ranking import is_to_be_had
from peft_studio.core.estimators import Fit
from peft_studio.core.ports.offers import Offer
from peft_studio.core.ports.platform import Sentence, Value
from peft_studio.core.ports.registry import RegistryModel
from peft_studio.core.services.model_fit import (
    METHODS,
    WEIGHTS_ALONE,
    Machine,
    ModelFit,
    choose_method,
    find_reason,
    fit_by_count,
    fit_methods,
)
from peft_studio.core.services.offers import say_gpu, say_memory, say_seen
from peft_studio.core.services.table import Table
from peft_studio.core.words import usd

ON_SALE = "on sale"  # as a place where a model may fit
GIB = 2**30


class OnSale(Value):
    """What is known to be on sale. ``why_none``: where that is nothing; ``notes``: who said nothing new, and why."""

    offers: tuple[Offer, ...] = ()
    why_none: Sentence = ""
    notes: tuple[Sentence, ...] = ()

    @cached_property
    def best(self) -> tuple[tuple[Offer, Gpu], ...]:
        """Of each known card of each provider the cheapest that is to be had, the cheapest first; spot and not apart. A cluster's are not on sale."""
        return tuple(_best(self.offers))


@dataclass(frozen=True, slots=True)
class SaleRow:
    """A card of a provider at its best price, and the verdict on it."""

    offer: Offer
    found: ModelFit

    @property
    def price(self) -> str:
        """``$0.39/h``; said where the machine may be taken away."""
        return f"{usd(self.offer.usd_per_hour)}/h" + (" (spot)" if self.offer.spot else "")

    def __str__(self) -> str:
        spot = ", spot" if self.offer.spot else ""
        return f"{usd(self.offer.usd_per_hour)}/h ({say_gpu(self.offer)} at {self.offer.provider}{spot}, seen {say_seen(self.offer)})"


class SaleFit(Table[SaleRow]):
    """The verdict on what is on sale, and the cards behind it from the cheapest up: those that fit with room, else those that may.

    ``sentence``: from which price by which method, or why that is not known.
    """

    HEADS = ("gpu", "memory", "provider", "$/h", "spot", "method", "seen")

    def __init__(self, graded: Sequence[SaleRow], *, why: str = "", notes: Sequence[str] = ()) -> None:
        order: tuple[Fit, ...] = ("ok", "tight", "unknown", "wont-fit")
        self.fit: Fit = next((fit for fit in order for one in graded if one.found.fit == fit), "unknown")
        fits = self.fit in ("ok", "tight")
        super().__init__([one for one in graded if fits and one.found.fit == self.fit], notes=notes)
        self._graded = tuple(graded)
        self.way = self.rows[0].found.way if self.rows else ""
        self.sentence = why or self._say()
        self.nothing = f"{self.sentence}."

    @property
    def words(self) -> str:
        """The verdict in a few words; empty where nothing is known."""
        if self.rows:
            return f"{'fits' if self.fit == 'ok' else 'tight on'} a GPU on sale from {self.rows[0].price}"
        return "too large for what is on sale" if self.fit == "wont-fit" else ""

    def __str__(self) -> str:
        return self.words or "—"

    def find_cheapest(self, method: str) -> SaleRow | None:
        """The cheapest card on which one method fits with room."""
        return next((row for row in self._graded for one in row.found.methods if (one.method, one.fit) == (method, "ok")), None)  # fmt: skip

    def cells(self, row: SaleRow) -> tuple[str, ...]:
        """A row's texts."""
        offer = row.offer
        return (
            say_gpu(offer), say_memory(offer), offer.provider, usd(offer.usd_per_hour), "yes" if offer.spot else "no", row.found.way,
            say_seen(offer),
        )  # fmt: skip

    def _say(self) -> str:
        if self.fit != "ok" or self.way == WEIGHTS_ALONE:
            by = " by its weights alone" if self.way == WEIGHTS_ALONE else ""
            return f"{self.words}{by}" + (f", {self.rows[0]}" if self.rows else "")
        parts: list[str] = []
        for method in reversed(METHODS):  # from the cheapest to what needs more
            row = self.find_cheapest(method)
            said = (
                f"with {METHODS[method]} from {row}"
                if row
                else f"no single GPU on sale is enough for {METHODS[method]}"
            )
            parts = [said] if row and any(f"from {row}" in part for part in parts) else [*parts, said]
        return f"fits {', '.join(parts)}"


def fit_sale(model: RegistryModel, config: Mapping[str, Any] | None, on_sale: OnSale) -> SaleFit:
    """The verdict. ``config``: the model's parsed config.json, where somebody has read it."""
    if reason := find_reason(model):
        return SaleFit((), why=reason.rstrip("."))
    if not on_sale.offers:
        return SaleFit((), why=on_sale.why_none, notes=on_sale.notes)
    known: dict[tuple[bool, float], ModelFit] = {}
    graded = []
    for offer, gpu in on_sale.best:
        machine = machine_of_offer(offer, gpu)
        key = machine.bf16, machine.free_bytes or 0.0  # all that the verdict rests on
        if key not in known:
            known[key] = _judge(model, config, machine)
        graded.append(SaleRow(offer, known[key]))
    why = "" if graded else "no GPU of the device table is to be had now"
    unknown = (
        "how large the model is is not known" if graded and all(one.found.fit == "unknown" for one in graded) else ""
    )
    return SaleFit(graded, why=why or unknown, notes=on_sale.notes)


def machine_of_offer(offer: Offer, gpu: Gpu) -> Machine:
    """One card of an offer, with all of the memory that its provider names."""
    free_bytes = int((offer.gpu_memory_gib or gpu.memory_gib) * GIB)
    return Machine("cuda", say_gpu(offer), gpu.bf16 is not None, free_bytes, here=False)


def say_fit(here: ModelFit, sale: SaleFit) -> str:
    """Where it fits, in a few words: this machine first. Empty where nothing is known."""
    if here.fit == "ok":
        return "fits here"
    words = [*(["tight here"] if here.fit == "tight" else []), *([sale.words] if sale.words else [])]
    return ", ".join(words) or ("too large for this machine" if here.fit == "wont-fit" else "")


def _best(offers: Sequence[Offer]) -> Iterator[tuple[Offer, Gpu]]:
    seen = set()
    for offer in sorted(offers, key=lambda one: (one.usd_per_hour, one.provider, one.id)):
        key = offer.provider, offer.gpu, offer.gpu_memory_gib, offer.spot
        if key in seen or offer.gpu_count != 1 or not offer.usd_per_hour or not is_to_be_had(offer):
            continue
        seen.add(key)
        if gpu := find_gpu(offer.gpu or ""):
            yield offer, gpu


def _judge(model: RegistryModel, config: Mapping[str, Any] | None, machine: Machine) -> ModelFit:
    methods = fit_methods(config, machine) if config else ()
    return choose_method(methods, machine) if methods else fit_by_count(model.parameters, machine)
