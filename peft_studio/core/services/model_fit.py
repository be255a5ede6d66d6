"""Whether a base model can be trained on a machine before any of it is here: one answer, whether code asks, a panel, or an offer of a GPU.

By its config.json where that is known: the estimate that a quote makes, for the default spec of each method, and where that does not fit for
what of it gives up memory and nothing else. Else by its weights alone, by the rules by which defaults are chosen; it says so. Pure but for
:func:`find_machine`. It knows no price and no provider: whoever has a machine to offer hands one in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peft_studio.core.compute import find_gpu
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.defaults.fit_ladder import Rung, climb
from peft_studio.core.defaults.hardware import BYTES, NF4_BYTES, ROOM, TIGHT
from peft_studio.core.device import find_device
from peft_studio.core.estimators import Estimate, Fit, estimate_training_memory, find_fit
from peft_studio.core.estimators.fit import fit_sentence
from peft_studio.core.models.facts import build_model_facts
from peft_studio.core.models.shapes import build_model_shapes
from peft_studio.core.ports.registry import RegistryModel
from peft_studio.core.services.quote import find_place
from peft_studio.core.spec import Basis, DataRef

HERE = "here"  # this machine, as a place where models are found; a connector of that name would show as it
TRAINED = (HERE, "huggingface")  # whose names a spec takes
METHODS = {"lora": "LoRA", "qlora": "QLoRA"}  # from what costs nothing to what costs time and quality
SHORTEST_TOKENS = 8  # that a spec takes
ASSUMED_TOKENS = 1024  # of the longest row, while no data is chosen
WEIGHTS_ALONE = "weights alone"
_NO_ROWS = DataRef(path="/", origin="no data yet", format="text", rows=0, sha256="")


@dataclass(frozen=True, slots=True)
class Machine:
    """What counts of a machine: this one, or one that is for rent. ``free_bytes`` is what a run may take; None where the driver does not say."""

    kind: str  # cpu or cuda
    name: str
    bf16: bool
    free_bytes: int | None
    here: bool = True

    @property
    def precision(self) -> str:
        """In which weights would be held."""
        return "bf16" if self.bf16 else "fp16" if self.kind == "cuda" else "fp32"


@dataclass(frozen=True, slots=True)
class MethodFit:
    """One method on one machine. ``way``: what it is and what it gives up to fit; ``costs``: what that costs; ``basis``: what was assumed."""

    fit: Fit
    method: str
    way: str
    needs: Estimate
    basis: str
    costs: str = ""

    @property
    def title(self) -> str:
        """As people write it."""
        return METHODS[self.method]


@dataclass(frozen=True, slots=True)
class ModelFit:
    """The verdict. ``way``: that of the first method that fits with room, else of the first that may, else of the leanest.

    ``sentence``: what it needs, or why that is not known. ``methods``: each by itself; empty where the weights alone were looked at.
    """

    fit: Fit
    sentence: str
    way: str = ""
    methods: tuple[MethodFit, ...] = ()

    def __str__(self) -> str:
        return f"{self.fit} ({self.way})" if self.fit != "unknown" and self.way else self.fit


def find_machine(where: str = "local") -> Machine:
    """``local`` as it is now, or a card of the device table by its name, all of its memory free.

    Raises:
        SpecError: There is no such place.
    """
    place = find_place(where)
    gpu = None if place.here else find_gpu(place.name)
    bf16 = find_device().bf16 if gpu is None else gpu.bf16 is not None
    free = None if place.memory_bytes is None else int(place.memory_bytes)
    return Machine(place.kind, place.name, bf16, free, place.here)


def find_reason(model: RegistryModel) -> str:
    """Why a model cannot be trained by us on any machine; empty where it can, as far as a list tells."""
    if model.registry not in TRAINED:
        return "Only models of Hugging Face and of this machine can be trained here. Look for the one it was made from."
    if model.format == "gguf":
        return "GGUF files are for answering. Train the model they were made from."
    if model.task and model.task != "text-generation":
        return f"It is for {model.task}; text-generation models can be trained here."
    return ""


def fit_model(model: RegistryModel, config: Mapping[str, Any] | None, machine: Machine) -> ModelFit:
    """The verdict on a listed model. ``config``: its parsed config.json, where somebody has read it."""
    if reason := find_reason(model):
        return ModelFit("unknown", reason)
    methods = fit_methods(config, machine) if config else ()
    return choose_method(methods, machine) if methods else fit_by_count(model.parameters, machine)


def fit_methods(config: Mapping[str, Any], machine: Machine) -> tuple[MethodFit, ...]:
    """Each method on a machine, from the model's shapes; nothing where the config does not tell them."""
    facts, shapes = build_model_facts(config), build_model_shapes(config)
    if shapes is None or not shapes.known:
        return ()
    context = max(SHORTEST_TOKENS, facts.context_length or ASSUMED_TOKENS)
    longest = min(ASSUMED_TOKENS, context)
    basis = Basis(
        parameters=shapes.parameters, family=facts.family, context_length=context, p95_tokens=longest,
        max_tokens=longest, device=machine.kind, bf16=machine.bf16, free_bytes=machine.free_bytes, hidden_size=facts.hidden_size,
    )  # fmt: skip

    def needs(one: ExplainedSpec) -> Estimate:
        return estimate_training_memory(one, shapes, device=machine.kind, row_tokens=longest)

    specs = [ExplainedSpec.derive(basis=basis, model="unnamed", data=_NO_ROWS, method=name) for name in METHODS]
    return tuple(_fit_spec(spec, needs, machine.free_bytes) for spec in specs)


def choose_method(methods: tuple[MethodFit, ...], machine: Machine) -> ModelFit:
    """The verdict that they come to."""
    order: tuple[Fit, ...] = ("ok", "tight")
    first = next((one for fit in order for one in methods if one.fit == fit), methods[-1])
    where = "free here" if machine.here else f"of {machine.name}"
    words = f"{first.way} {fit_sentence(first.needs, machine.free_bytes)} {where}; {first.basis}."
    return ModelFit(first.fit, words, first.way, methods)


def fit_by_count(parameters: int | None, machine: Machine) -> ModelFit:
    """By the weights alone: what is surely too large is known, and what is surely small."""
    if not parameters or not machine.free_bytes:
        return ModelFit("unknown", "How many parameters it has is not known.")
    whole = parameters * BYTES[machine.precision]
    if parameters * NF4_BYTES > ROOM * machine.free_bytes:
        return ModelFit("wont-fit", "Even in 4 bits its weights leave no room.", WEIGHTS_ALONE)
    if whole > TIGHT * machine.free_bytes:
        return ModelFit("tight", "Its weights take more than half of the memory that is free.", WEIGHTS_ALONE)
    return ModelFit("ok", "Its weights take less than half of the memory that is free.", WEIGHTS_ALONE)


def _fit_spec(spec: ExplainedSpec, needs: Callable[[ExplainedSpec], Estimate], free_bytes: int | None) -> MethodFit:
    """The first rung of the fit ladder that fits with room, else the last that may, else the one that needs least. The method stays."""
    rungs = [Rung("As asked", {}, spec, found := needs(spec), find_fit(found, free_bytes), "")]
    if free_bytes:
        rungs = [rung for rung in climb(spec, free_bytes=free_bytes, needs=needs).rungs if not rung.chosen]
    sure = [rung for rung in rungs if rung.fit == "ok"]
    may = [rung for rung in reversed(rungs) if rung.fit == "tight"]
    rung = (sure or may or rungs[-1:])[0]
    given_up = [_WORDS[name].format(value) for name, value in rung.changes.items() if name in _WORDS]
    way = METHODS[spec.method] + (f" with {' and '.join(given_up)}" if given_up else "")
    basis = f"rank {rung.spec.rank}, rows of {spec.basis.max_tokens:,} tokens, {rung.spec.batch_size} at once"
    return MethodFit(rung.fit, spec.method, way, rung.needs, basis, rung.costs)


_WORDS = {"gradient_checkpointing": "gradient checkpointing", "batch_size": "micro-batches of {}"}
