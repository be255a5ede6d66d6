"""What config.json says about a base model: its shapes, its context length and how many parameters it has.

Reads one JSON file; knows no weights, no torch and no network. What is not known is None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_studio.core.models.failure import ModelFailure


@dataclass(frozen=True)
class _Layout:
    """What differs between llama-like families in a decoder layer."""

    norms: int = 2  # RMS norms of width H
    qkv_bias: bool = False
    head_norms: bool = False  # q_norm and k_norm of width head_dim


# transformers 5.23 modelling files; each is checked against a real model in tests/unit/core/models/test_facts.py
_LAYOUTS: dict[str, _Layout] = {
    "llama": _Layout(),
    "mistral": _Layout(),
    "smollm3": _Layout(),
    "phi3": _Layout(),
    "gemma": _Layout(),
    "qwen2": _Layout(qkv_bias=True),
    "qwen3": _Layout(head_norms=True),
    "gemma2": _Layout(norms=4),
    "gemma3_text": _Layout(norms=4, head_norms=True),
}
# Not written into config.json when they have their class's default.
_TIED_BY_DEFAULT = {"gemma", "gemma2", "gemma3_text", "smollm3"}
_HEAD_DIM = {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "qwen3": 128}


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
    heads = _whole(shape, "num_attention_heads", "n_head")
    hidden = _whole(shape, "hidden_size", "n_embd")
    split = hidden // heads if hidden and heads else None
    head_dim = _whole(shape, "head_dim") or _HEAD_DIM.get(family or "") or split
    architectures = config.get("architectures") or [None]
    facts = ModelFacts(
        family=family,
        architecture=_text(architectures[0]),
        hidden_size=hidden,
        intermediate_size=_whole(shape, "intermediate_size", "n_inner"),
        layers=_whole(shape, "num_hidden_layers", "n_layer"),
        heads=heads,
        kv_heads=_whole(shape, "num_key_value_heads") or heads,
        head_dim=head_dim,
        vocab=_whole(shape, "vocab_size"),
        context_length=_whole(shape, "max_position_embeddings", "n_positions"),
        tied_embeddings=bool(config.get("tie_word_embeddings", family in _TIED_BY_DEFAULT)),
        parameters=None,
        dtype=_text(config.get("dtype") or config.get("torch_dtype")),
        remote_code=bool(config.get("auto_map")),
        quantized=bool(config.get("quantization_config")),
    )
    return ModelFacts(**{**facts.__dict__, "parameters": _count_parameters(facts, shape)})


def _count_parameters(facts: ModelFacts, config: Mapping[str, Any]) -> int | None:
    """V·H (twice when untied) + L·(attention + 3·H·I + norms) + H, for families whose layout is known."""
    layout = _LAYOUTS.get(facts.family or "")
    h, i, v, head = facts.hidden_size, facts.intermediate_size, facts.vocab, facts.head_dim
    if layout is None or not (h and i and v and head and facts.layers and facts.heads and facts.kv_heads):
        return None
    q, kv = facts.heads * head, facts.kv_heads * head
    attention = h * q + 2 * h * kv + q * h
    if config.get("attention_bias") and facts.family != "qwen2":
        attention += q + 2 * kv + h
    if layout.qkv_bias:
        attention += q + 2 * kv
    if layout.head_norms:
        attention += 2 * head
    mlp = 3 * h * i + ((2 * i + h) if config.get("mlp_bias") else 0)
    embeddings = v * h * (1 if facts.tied_embeddings else 2)
    return embeddings + facts.layers * (attention + mlp + layout.norms * h) + h


def _whole(config: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
