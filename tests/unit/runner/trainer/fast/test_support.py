"""What the fast path refuses, and the sentence it gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Gemma3TextConfig, GPT2Config

from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.fast.equality import Distance
from tests.unit.runner.trainer.fast.tiny_models import build_model, build_rows


def spec(**fields: object) -> RunSpec:
    """A run spec as the data layer would make it, without looking at any data."""
    return RunSpec.model_construct(**{"precision": "fp32", "max_length": 1024, **fields})


def test_a_model_without_an_adapter_is_refused() -> None:
    """There is nothing to train."""
    assert "none" in (fast.unsupported(build_model().get_base_model()) or "")


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=99),
        Gemma3TextConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=99
        ),
    ],
    ids=["gpt2", "gemma3"],
)
def test_an_unknown_architecture_is_refused_by_name(config: object) -> None:
    """What was not shown equal takes the reference loop: Gemma's norm is (1 + weight) · …, GPT-2 has none of the parts."""
    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(r=2, target_modules="all-linear"))
    assert type(model.get_base_model()).__name__ in (fast.unsupported(model) or "")


def test_a_sliding_window_is_refused_where_it_bites() -> None:
    """Rows that fit in the window see all of themselves, so the window changes nothing."""
    model = build_model("mistral", sliding_window=64)
    assert "slides over 64 tokens" in (fast.unsupported(model, spec(max_length=65)) or "")
    assert fast.unsupported(model, spec(max_length=64)) is None
    qwen = build_model("qwen2", use_sliding_window=True, sliding_window=32, max_window_layers=1)
    assert "slides over 32 tokens" in (fast.unsupported(qwen, spec()) or "")
    assert fast.unsupported(build_model("qwen2", sliding_window=32), spec()) is None  # configured and not used


def test_precision_must_be_the_one_that_the_base_was_loaded_in() -> None:
    """Mixing fp32 weights with bf16 products is the reference loop's business."""
    assert "bf16" in (fast.unsupported(build_model(), spec(precision="bf16")) or "")
    assert fast.unsupported(build_model(dtype=torch.bfloat16), spec(precision="bf16")) is None
    assert "float16" in (fast.unsupported(build_model(dtype=torch.float16), spec(precision="fp16")) or "")


def test_a_second_adapter_is_refused() -> None:
    """One adapter is trained; which one counts is otherwise not decided."""
    model = build_model()
    model.add_adapter("other", LoraConfig(r=2, target_modules="all-linear"))
    assert "one adapter" in (fast.unsupported(model) or "")


def test_training_more_than_lora_is_refused_by_name() -> None:
    """A trained norm, output layer or embedding would get no gradient, or the wrong one."""
    model = build_model()
    model.get_base_model().model.norm.weight.requires_grad_(True)
    assert "norm.weight is trained too" in (fast.unsupported(model) or "")
    base = build_model().unload()
    head = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    assert "lm_head" in (fast.unsupported(head) or "")


def test_other_traits_that_change_the_numbers_are_refused() -> None:
    """Attention dropout and length-dependent rotary embeddings have their own sentence."""
    assert "drops attention" in (fast.unsupported(build_model(attention_dropout=0.1)) or "")
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert "dynamic" in (fast.unsupported(build_model(rope_parameters=rope)) or "")


def test_an_installed_path_is_not_installed_twice() -> None:
    """Covering a cover would make uninstalling wrong."""
    model = build_model()
    path = fast.install(model)
    assert "already patched" in (fast.unsupported(model) or "")
    with pytest.raises(RuntimeError, match="already installed"):
        fast.install(model)
    path.uninstall()
    path.uninstall()
    assert fast.unsupported(model) is None


def test_a_partial_path_says_what_it_leaves_out() -> None:
    """DoRA layers run by peft's code; plain ones do not."""
    assert fast.partial_reason(build_model()) is None
    assert "DoRA" in (fast.partial_reason(build_model(method="dora")) or "")


@pytest.mark.parametrize("four_bit", [True, False])
def test_a_quantized_base_runs_by_its_own_code_and_is_equal(tmp_path: Path, four_bit: bool) -> None:
    """Flat rows, attention and loss are fast; the quantized products stay those of bitsandbytes."""
    build_model().unload().save_pretrained(tmp_path)
    bits = BitsAndBytesConfig(load_in_4bit=four_bit, load_in_8bit=not four_bit, bnb_4bit_quant_type="nf4")
    base = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=bits, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear")).train()
    assert fast.unsupported(model) is None
    assert "quantized" in (fast.partial_reason(model) or "")
    difference = fast.compare(model, build_rows(), tolerance=Distance(1e-3, 3e-2, 3e-2))
    assert difference.within, str(difference)
