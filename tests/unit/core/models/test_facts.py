"""What config.json tells, against models that transformers builds from the same config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.models import ModelFailure, build_model_facts, read_model_facts

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
        ("llama", {"head_dim": 32}),
        ("mistral", {}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen3", {}),
        ("gemma", {}),
        ("gemma2", {}),
        ("gemma3_text", {}),
        ("phi3", {}),
        ("smollm3", {}),
    ],
)
def test_parameter_count_is_the_models_own(tmp_path: Path, family: str, more: dict[str, Any]) -> None:
    """For every family whose layout is written down, the count equals that of a model built from the saved config."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **SHAPE, **more)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.save_pretrained(tmp_path)
    facts = read_model_facts(tmp_path)
    assert facts.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (facts.family, facts.hidden_size, facts.layers, facts.vocab) == (family, 64, 3, 128)
    assert (facts.heads, facts.kv_heads, facts.context_length) == (4, 2, 256)


def test_smollm2_135m() -> None:
    """The published shape of SmolLM2-135M gives its published size, 134,515,008."""
    config = {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    }
    assert build_model_facts(config).parameters == 134_515_008


def test_unknown_family_has_no_count() -> None:
    """What is not known is None, never a guess."""
    facts = build_model_facts({"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 10})
    assert (facts.parameters, facts.heads, facts.context_length) == (None, None, None)
    assert (facts.hidden_size, facts.layers) == (64, 2)


def test_nonsense_values_are_not_facts() -> None:
    """Strings, zero and booleans where a number belongs count as unknown."""
    facts = build_model_facts({"hidden_size": "64", "num_hidden_layers": 0, "vocab_size": True, "architectures": []})
    assert (facts.hidden_size, facts.layers, facts.vocab, facts.architecture) == (None, None, None, None)


@pytest.mark.parametrize("content", [None, "{", "[]", "\udcff"])
def test_bad_config(tmp_path: Path, content: str | None) -> None:
    """A missing, torn or foreign config.json is a failure that names it."""
    if content is not None:
        (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelFailure) as caught:
        read_model_facts(tmp_path)
    assert caught.value.code == "incomplete"
    assert "config.json" in caught.value.message


def test_multimodal_is_described_by_its_text_part() -> None:
    """Shapes come from text_config; the whole count is not known from it."""
    facts = build_model_facts(
        json.loads('{"model_type": "gemma3", "text_config": {"hidden_size": 8, "vocab_size": 9}}')
    )
    assert (facts.hidden_size, facts.vocab, facts.parameters) == (8, 9, None)
