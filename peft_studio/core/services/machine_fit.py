"""Whether a base model can be trained on this machine, before any of it is here: from its config.json, or only from its number of parameters.

The first is the estimate that a quote makes, for the spec that would be the default. The second looks at the weights alone, by the
rules by which defaults are chosen; it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.defaults.fit_ladder import GPU_GIB, GPU_SHARE, climb
from peft_studio.core.defaults.hardware import BYTES, NF4_BYTES, ROOM, TIGHT
from peft_studio.core.device import find_device, find_free_bytes
from peft_studio.core.estimators import Estimate, Fit, estimate_training_memory, find_fit
from peft_studio.core.models.facts import build_model_facts
from peft_studio.core.models.shapes import build_model_shapes
from peft_studio.core.spec import Basis, DataRef

SHORTEST_TOKENS = 8  # that a spec takes
ASSUMED_TOKENS = 1024  # of the longest row, while no data is chosen
_NO_ROWS = DataRef(path="/", origin="no data yet", format="text", rows=0, sha256="")


@dataclass(frozen=True, slots=True)
class Machine:
    """What counts of this machine. ``free_bytes`` is None where the driver does not say."""

    kind: str
    name: str
    bf16: bool
    free_bytes: int | None

    @property
    def precision(self) -> str:
        """In which weights would be held."""
        return "bf16" if self.bf16 else "fp16" if self.kind == "cuda" else "fp32"


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A verdict, what it is of (``method``) and what it rests on. ``needs`` is None where only the weights were looked at."""

    fit: Fit
    method: str
    basis: str
    needs: Estimate | None = None


def find_machine() -> Machine:
    """This machine as it is now."""
    device = find_device()
    return Machine(device.kind, device.name, device.bf16, find_free_bytes())


def fit_by_config(config: Mapping[str, Any], machine: Machine, **fields: Any) -> ModelFit | None:
    """The verdict for the spec that would be the default, but for ``fields``. None where the config does not tell the shapes.

    Args:
        config: The parsed ``config.json``.
    """
    default = _default_spec(config, machine, **fields)
    if default is None:
        return None
    spec, needs = default
    title = {"qlora": "QLoRA"}.get(spec.method, "LoRA")
    words = f"{title} at rank {spec.rank}, {spec.batch_size} rows of {spec.basis.max_tokens:,} tokens at once"
    return ModelFit(find_fit(found := needs(spec), machine.free_bytes), spec.method, words, found)


def find_way(config: Mapping[str, Any], machine: Machine) -> ModelFit | None:
    """What to give up so that the default spec fits: the first rung of the fit ladder that does. None where it fits, or nothing helps."""
    default = _default_spec(config, machine)
    if default is None or machine.free_bytes is None:
        return None
    ladder = climb(default[0], free_bytes=machine.free_bytes, needs=default[1])
    rung = ladder.first or ladder.tightest
    if rung is None or not rung.changes:
        return None
    words = ", ".join(f"{name}={value!r}" for name, value in rung.changes.items())
    return ModelFit(rung.fit, rung.spec.method, f"{words}. {rung.costs}", rung.needs)


def _default_spec(
    config: Mapping[str, Any], machine: Machine, **fields: Any
) -> tuple[ExplainedSpec, Callable[[ExplainedSpec], Estimate]] | None:
    """The spec that would be the default, and what one of this model needs."""
    facts, shapes = build_model_facts(config), build_model_shapes(config)
    if shapes is None or not shapes.known:
        return None
    context = max(SHORTEST_TOKENS, facts.context_length or ASSUMED_TOKENS)
    longest = min(ASSUMED_TOKENS, context)
    basis = Basis(
        parameters=shapes.parameters, family=facts.family, context_length=context, p95_tokens=longest,
        max_tokens=longest, device=machine.kind, bf16=machine.bf16, free_bytes=machine.free_bytes, hidden_size=facts.hidden_size,
    )  # fmt: skip
    spec = ExplainedSpec.derive(basis=basis, model="unnamed", data=_NO_ROWS, **fields)

    def needs(one: ExplainedSpec) -> Estimate:
        return estimate_training_memory(one, shapes, device=machine.kind, row_tokens=longest)

    return spec, needs


def find_gpu_gib(config: Mapping[str, Any], **fields: Any) -> int | None:
    """The smallest usual GPU on which :func:`fit_by_config`'s spec fits; None where one is not enough, or nobody knows."""
    found = fit_by_config(config, Machine("cuda", "GPU", True, None), **fields)
    if found is None or found.needs is None:
        return None
    high = found.needs.high
    return next((size for size in GPU_GIB if high <= size * GPU_SHARE * 2**30), None)


def fit_by_count(parameters: int | None, machine: Machine) -> ModelFit:
    """The verdict by the weights alone: what is surely too large is known, and what is surely small."""
    if not parameters or not machine.free_bytes:
        return ModelFit("unknown", "lora", "How many parameters it has is not known.")
    whole = parameters * BYTES[machine.precision]
    if parameters * NF4_BYTES > ROOM * machine.free_bytes:
        return ModelFit("wont-fit", "qlora", "Even in 4 bits its weights leave no room.")
    if whole > TIGHT * machine.free_bytes:
        return ModelFit("tight", "qlora", "Its weights take more than half of the memory that is free.")
    return ModelFit("ok", "lora", "Its weights take less than half of the memory that is free.")
