"""Tiny models with random weights, and rows of unequal length, for the fast path's tests."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
VOCABULARY = 300
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "pissa": {"init_lora_weights": "pissa"},
    "dora": {"use_dora": True},
}


def build_model(
    family: str = "llama",
    method: str = "lora",
    *,
    dtype: torch.dtype = torch.float32,
    dropout: float = 0.0,
    **config: Any,
) -> Any:
    """A two-layer model with a LoRA adapter whose B is not zero, in training mode."""
    torch.manual_seed(1)
    settings = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        **({"sliding_window": None} if family == "mistral" else {}),
        **config,
    }
    base = AutoModelForCausalLM.from_config(CONFIGS[family](**settings), dtype=torch.float32)
    for name, parameter in base.named_parameters():
        if name.endswith(".bias") or "norm" in name:  # not left at 0 and 1, where mistakes would not show
            torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    model = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", lora_dropout=dropout, **METHODS[method])
    )
    for name, parameter in model.named_parameters():
        if ".lora_B." in name and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    return model.train()


def build_rows(
    lengths: tuple[int, ...] = (7, 20, 13, 30), *, prefix: int = 0, untrained: int = 3
) -> list[dict[str, list[int]]]:
    """Rows of these lengths that begin with ``prefix`` equal tokens; the first ``untrained`` labels of each are masked."""
    chance = torch.Generator().manual_seed(2)
    start = list(range(1, prefix + 1))
    rows = []
    for length in lengths:
        ids = start + torch.randint(50, VOCABULARY, (length - prefix,), generator=chance).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * untrained + ids[untrained:]})
    return rows


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of every trained parameter, by name."""
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def largest_difference(reference: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest ‖a - b‖ / ‖a‖ over all tensors."""
    return max(((reference[name] - other[name]).norm() / reference[name].norm()).item() for name in reference)
