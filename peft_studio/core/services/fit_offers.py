"""The spec that a run has on each of the machines that it may be launched on: one run, and what a card decides follows the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peft_studio.core.compute import find_gpu
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import NotReadyError
from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.quote import Place, Quote, build_quote, find_layout, find_shapes
from peft_studio.core.services.quotes import fit_to_card, place_of

OF_THE_CARD = ("precision", "gradient_checkpointing", "sharding", "basis")
"""Fields with which a run goes on from the same checkpoint, whatever they were before. All others are the run's, on whichever machine."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A run on one offer. ``quote``: what it takes there; None where the card is not known."""

    offer: Offer
    spec: ExplainedSpec
    quote: Quote | None = None


def fit_offers(spec: ExplainedSpec, home: Path, offers: Sequence[Offer]) -> list[Fitted]:
    """A spec as it is launched on each of these, in their order.

    What nobody chose is derived for the first; on the others it stays, but for what their card decides.

    Raises:
        NotReadyError: It does not fit one of them.
    """
    found: list[Fitted] = []
    for offer in offers:
        fitted = _fit(spec, offer, found[0].spec if found else None, home)
        if fitted.quote and fitted.quote.fit == "wont-fit":
            raise NotReadyError(
                f"The run does not fit {fitted.quote.device} of {offer.provider}: it {fitted.quote.sentence}.",
                hint="studio.quotes(spec) shows which offers it fits; QLoRA or a smaller batch need less.", fields=("compute",),
            )  # fmt: skip
        found.append(fitted)
    return [_on_several(one) for one in found]


def say_differences(fitted: Sequence[Fitted]) -> list[str]:
    """``On Tesla T4 of runpod: precision fp16, not bf16``, for each machine on which the run is not quite as on the first."""
    first, said = fitted[0].spec, []
    for one in fitted[1:]:
        names = [name for name in OF_THE_CARD if name != "basis" and getattr(one.spec, name) != getattr(first, name)]
        if names:
            words = ", ".join(f"{name} {getattr(one.spec, name)}, not {getattr(first, name)}" for name in names)
            said.append(f"On {one.offer.gpu or 'a CPU'} of {one.offer.provider}: {words}.")
    return list(dict.fromkeys(said))


def _fit(spec: ExplainedSpec, offer: Offer, first: ExplainedSpec | None, home: Path) -> Fitted:
    gpu = find_gpu(offer.gpu or "")
    if gpu is None:
        return Fitted(offer, first or spec)
    place = place_of(offer, gpu)
    fitted = fit_to_card(spec, gpu, memory_bytes=place.memory_bytes or 0.0)
    if first is not None:
        fitted = first.model_copy(update={name: getattr(fitted, name) for name in OF_THE_CARD})
    fitted = _with_layout(fitted, home, place)
    return Fitted(offer, fitted, build_quote(fitted, home, place))


def _with_layout(spec: ExplainedSpec, home: Path, place: Place) -> ExplainedSpec:
    """A spec that says so where the base is to be shared out: the machine cannot count it before the base model is there."""
    layout = find_layout(spec, find_shapes(spec.model, home), place, [])
    return spec.model_copy(update={"sharding": "fsdp"}) if layout and layout.strategy == "fsdp" else spec


def _on_several(one: Fitted) -> Fitted:
    """Several machines that train together are told how many processes that makes: none of them sees the others' cards."""
    if one.offer.machines == 1:
        return one
    processes = one.offer.machines * max(1, one.offer.gpu_count)
    return replace(
        one, spec=one.spec.model_copy(update={"processes": processes, "chosen": one.spec.chosen | {"processes"}})
    )
