"""Whether models that a registry lists can be trained on a device, by the estimators and what the registry says of their shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from peft_studio.core.device import find_device
from peft_studio.core.errors import StudioError
from peft_studio.core.estimators import Fit, estimate_training_memory, find_fit
from peft_studio.core.estimators.fit import fit_sentence
from peft_studio.core.models.shapes import ModelShapes, build_model_shapes
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.registry import ModelDetails, RegistryModel
from peft_studio.core.services.quote import Place
from peft_studio.core.spec import RunSpec
from peft_studio.core.spec.data_ref import DataRef

LOOKED_UP = 8  # of a list: each costs its registry some requests, and they are rationed
AT_ONCE = 3  # of a lane's places
DETAILS_S = 10.0
ASSUMED = "rank 16, one row of 1,024 tokens at a time"

_NO_ROWS = DataRef(path="", origin="none", format="text", rows=0, sha256="")
# From what costs nothing to what costs time and quality.
_WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("LoRA", {"method": "lora"}),
    ("LoRA with gradient checkpointing", {"method": "lora", "gradient_checkpointing": True}),
    ("QLoRA with gradient checkpointing", {"method": "qlora", "quantization": "nf4", "gradient_checkpointing": True}),
)


@dataclass(frozen=True, slots=True)
class ModelFit:
    """``way``: the first way of training that fits with room, else the first that fits at all, else the leanest, which does not. ``sentence``: what it needs, or why that is unknown."""

    fit: Fit
    sentence: str
    way: str = ""

    def __str__(self) -> str:
        return f"{self.fit} ({self.way})" if self.fit in ("ok", "tight") else self.fit


def judge_fit(config: Mapping[str, Any] | None, place: Place) -> ModelFit:
    """By a model's config.json, for training with ``ASSUMED``."""
    shapes = build_model_shapes(config) if config else None
    if shapes is None:
        return ModelFit("unknown", "Its registry shows no config.json that names its sizes.")
    ways = [_judge(shapes, place, way, fields) for way, fields in _WAYS]
    likely = [found for found in ways if found.fit == "ok"] or [found for found in ways if found.fit == "tight"]
    return likely[0] if likely else ways[-1]


def find_fits(catalog: Catalog, models: Iterable[RegistryModel], place: Place) -> dict[tuple[str, str], ModelFit]:
    """Of the first few models, by registry and id. One whose details do not come is unknown, with the reason."""
    wanted = list(models)[:LOOKED_UP]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda model: _look_up(catalog, model, place), wanted)
        return {(model.registry, model.id): fit for model, fit in zip(wanted, found, strict=True)}


def _look_up(catalog: Catalog, model: RegistryModel, place: Place) -> ModelFit:
    if model.format == "gguf":
        return ModelFit("unknown", "GGUF files are for answering; their model is trained from its safetensors.")
    try:
        asked = catalog.start(model.registry, ModelDetails, lambda one: one.get_model(model.id), deadline_s=DETAILS_S)
        return judge_fit(asked.result().config, place)
    except StudioError as exc:
        return ModelFit("unknown", exc.message)


def _judge(shapes: ModelShapes, place: Place, way: str, fields: Mapping[str, Any]) -> ModelFit:
    # As defaults would choose: bf16 where the device has it.
    precision: Literal["bf16", "fp32"] = "bf16" if place.kind == "cuda" or find_device().bf16 else "fp32"
    spec = RunSpec(model="listed", data=_NO_ROWS, batch_size=1, max_length=1024, precision=precision, **fields)
    memory = estimate_training_memory(spec, shapes, device=place.kind)
    return ModelFit(
        find_fit(memory, place.memory_bytes), f"{way}: {fit_sentence(memory, place.memory_bytes)}, with {ASSUMED}.", way
    )
