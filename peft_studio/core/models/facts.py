"""What config.json says about a base model: its shapes, its context length and how many parameters it has.

Reads one JSON file; knows no weights, no torch and no network. What is not known is None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.shapes import HEAD_DIM, TIED_BY_DEFAULT, build_model_shapes, whole


@dataclass(frozen=True)
class ModelFacts:
    """Shapes of a base model. Legend: H hidden_size, I intermediate_size, L layers, V vocab."""

    family: str | None
    architecture: str | None
    hidden_size: int | None
    intermediate_size: int | None
    layers: int | None
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    vocab: int | None
    context_length: int | None
    tied_embeddings: bool
    parameters: int | None
    dtype: str | None
    remote_code: bool
    quantized: bool


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed config.json of a model folder.

    Raises:
        ModelFailure: It is missing or is no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ModelFailure(
            f"{folder} has no config.json, so it is no base model.",
            code="incomplete",
            hint="Point to the folder that save_pretrained wrote, or give a hub id such as org/name.",
        ) from exc
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as exc:
        raise ModelFailure(
            f"{path} cannot be read: {exc}.", code="incomplete", hint="Download or save the model again."
        ) from exc
    if not isinstance(config, dict):
        raise ModelFailure(f"{path} is not a JSON object.", code="incomplete", hint="Download or save the model again.")
    return config


def read_model_facts(folder: Path | str) -> ModelFacts:
    """The facts of the model in ``folder``, from its config.json alone. Raises ModelFailure when there is none."""
    return build_model_facts(read_config(Path(folder)))


def build_model_facts(config: Mapping[str, Any]) -> ModelFacts:
    """The facts a parsed config.json gives; a multimodal one is described by its text part, without a count."""
    text = config.get("text_config")
    shape: Mapping[str, Any] = text if isinstance(text, Mapping) else config
    family = _text(config.get("model_type"))
    heads = whole(shape, "num_attention_heads", "n_head")
    hidden = whole(shape, "hidden_size", "n_embd")
    split = hidden // heads if hidden and heads else None
    head_dim = whole(shape, "head_dim") or HEAD_DIM.get(family or "") or split
    architectures = config.get("architectures")
    facts = ModelFacts(
        family=family,
        architecture=_text(architectures[0]) if isinstance(architectures, list) and architectures else None,
        hidden_size=hidden,
        intermediate_size=whole(shape, "intermediate_size", "n_inner"),
        layers=whole(shape, "num_hidden_layers", "n_layer"),
        heads=heads,
        kv_heads=whole(shape, "num_key_value_heads") or heads,
        head_dim=head_dim,
        vocab=whole(shape, "vocab_size"),
        context_length=whole(shape, "max_position_embeddings", "n_positions"),
        tied_embeddings=bool(config.get("tie_word_embeddings", family in TIED_BY_DEFAULT)),
        parameters=None,
        dtype=_text(config.get("dtype") or config.get("torch_dtype")),
        remote_code=bool(config.get("auto_map")),
        quantized=bool(config.get("quantization_config")),
    )
    shapes = None if shape is text else build_model_shapes(config)
    return replace(facts, parameters=shapes.parameters if shapes and shapes.known else None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
