"""The layers that config.json tells, against models that transformers builds from the same config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.models.shapes import FAMILIES, ModelShapes, build_model_shapes

SHAPE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 320, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
ALONE = {name: value for name, value in SHAPE.items() if name != "num_key_value_heads"}
GPT2 = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 320, "n_positions": 128}
MOE = {"num_experts": 4, "moe_intermediate_size": 32, "num_experts_per_tok": 2}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", SHAPE),
    ("llama", {**SHAPE, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 32}),
    ("mistral", SHAPE),
    ("smollm3", SHAPE),
    ("qwen2", {**SHAPE, "tie_word_embeddings": True}),
    ("qwen3", SHAPE),
    ("gemma", SHAPE),
    ("gemma2", SHAPE),
    ("gemma3_text", SHAPE),
    ("phi3", SHAPE),
    ("phi", SHAPE),
    ("gpt2", GPT2),
    ("gpt_neox", ALONE),
    ("opt", {**ALONE, "ffn_dim": 96, "word_embed_proj_dim": 64}),
    ("mixtral", {**SHAPE, "num_local_experts": 4}),
    ("qwen2_moe", {**SHAPE, **MOE, "shared_expert_intermediate_size": 48}),
    ("qwen3_moe", {**SHAPE, **MOE}),
]  # fmt: skip


def build(family: str, fields: dict[str, Any], folder: Path) -> tuple[ModelShapes, Any]:
    """The shapes that a saved config tells, and the model that transformers builds from it, without weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **fields)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.save_pretrained(folder)
    shapes = build_model_shapes(json.loads((folder / "config.json").read_text()))
    assert shapes is not None
    return shapes, model


@pytest.mark.parametrize(("family", "fields"), CASES)
def test_parameters_and_linear_layers_are_the_models_own(family: str, fields: dict[str, Any], tmp_path: Path) -> None:
    """As many parameters, and in a decoder layer the same linear layers under the names that peft finds."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import Linear

    shapes, model = build(family, fields, tmp_path)
    assert shapes.known
    assert shapes.parameters == sum(parameter.numel() for parameter in model.parameters())

    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert trained == shapes.adapter_parameters(4)
    linears = {name.rsplit(".", 1)[-1] for name, module in adapted.named_modules() if isinstance(module, Linear)}
    assert linears == {one.name for one in shapes.targets("all-linear")}


def test_every_family_has_a_case() -> None:
    """No layout is written down without a model to hold it against."""
    assert {family for family, _ in CASES} == FAMILIES


def test_some_names_are_some_layers() -> None:
    """``target_modules`` by name."""
    shapes = build_model_shapes({"model_type": "llama", **SHAPE})
    assert shapes is not None
    assert [one.name for one in shapes.targets(("q_proj", "v_proj"))] == ["q_proj", "v_proj"]


def test_an_unknown_architecture_says_so() -> None:
    """It is taken for a Llama, marked as a guess; without sizes there is nothing."""
    guess = build_model_shapes({"model_type": "novel", **SHAPE})
    assert guess is not None
    assert not guess.known
    assert build_model_shapes({"model_type": "novel"}) is None
