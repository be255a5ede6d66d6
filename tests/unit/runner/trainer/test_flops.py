"""Operations counted from config.json against torch's own counter, on tiny models with adapters."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch.utils.flop_counter import FlopCounterMode

from peft_studio.core.estimators.flops import Tokens, count_flops, count_forward_flops
from peft_studio.core.models.shapes import build_model_shapes

ROWS, LENGTH, RANK = 3, 24, 4
LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CASES = [
    ("llama", LLAMA, {}),
    ("llama", LLAMA, {"recompute": True}),
    ("gemma3_text", {**LLAMA, "head_dim": 16}, {}),
    ("gpt2", {"n_embd": 64, "n_layer": 6, "n_head": 4, "n_positions": 64}, {}),
    ("phi", {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 6, "num_attention_heads": 4}, {}),
    ("mixtral", {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2}, {"targets": ("q_proj", "v_proj")}),
]  # fmt: skip


def build(family: str, fields: dict[str, Any], *, recompute: bool, targets: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **fields, vocab_size=96, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    base = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager")
    names = targets if isinstance(targets, str) else list(targets)
    model = get_peft_model(base, LoraConfig(r=RANK, target_modules=names, fan_in_fan_out=family == "gpt2"))
    model.enable_input_require_grads()  # else the first layer has no gradient of its input to compute
    if recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


@pytest.mark.parametrize(("family", "fields", "way"), CASES, ids=lambda part: part if isinstance(part, str) else None)
def test_a_step_has_as_many_operations_as_torch_counts(
    family: str, fields: dict[str, Any], way: dict[str, Any]
) -> None:
    """Within 3 %: base, adapters, head, and what checkpointing computes again; of experts only the active ones."""
    targets, recompute = way.get("targets", "all-linear"), way.get("recompute", False)
    model = build(family, fields, recompute=recompute, targets=targets)
    ids = torch.randint(2, 96, (ROWS, LENGTH))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    shapes = build_model_shapes(model.config.to_dict())
    assert shapes is not None
    tokens = Tokens(ROWS * LENGTH, LENGTH, ROWS * LENGTH, causal_skip=False)

    counted = sum(count_flops(shapes, tokens, rank=RANK, targets=targets, recompute=recompute).values())

    assert counted == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_evaluation_is_a_forward_pass() -> None:
    """A third of a step and less, as torch counts it."""
    model = build("llama", LLAMA, recompute=False, targets="all-linear").eval()
    ids = torch.randint(2, 96, (ROWS, LENGTH))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids)
    shapes = build_model_shapes(model.config.to_dict())
    assert shapes is not None
    tokens = Tokens(ROWS * LENGTH, LENGTH, ROWS * LENGTH, causal_skip=False)

    counted = sum(count_forward_flops(shapes, tokens, rank=RANK, targets="all-linear").values())

    assert counted == pytest.approx(counter.get_total_flops(), rel=0.02)
