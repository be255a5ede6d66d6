"""The configurations that memory estimates are held against, and which of them stay unseen until the end.

Weights are random and models are small: neither values nor speed decide memory, and what a formula forgets weighs most where
the rest is small. Every difference that memory could depend on is in some configuration of every kind of model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import product
from typing import Any

Case = dict[str, Any]

_TOKENS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


def _llama_like(hidden: int, width: int, layers: int, **more: Any) -> dict[str, Any]:
    """Fields that Llama and its kin share; two query heads to a key-value head unless ``more`` says otherwise."""
    return {
        "hidden_size": hidden, "intermediate_size": width, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 8192, "max_position_embeddings": 2048, **_TOKENS, **more,
    }  # fmt: skip


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny-llama": ("llama", _llama_like(128, 352, 4, vocab_size=4096, tie_word_embeddings=True)),
    "qwen2-20m": ("qwen2", _llama_like(
        256, 704, 8, num_attention_heads=8, vocab_size=16384, tie_word_embeddings=False, use_sliding_window=False)),
    "gpt2-50m": ("gpt2", {"n_embd": 512, "n_layer": 8, "n_head": 8, "vocab_size": 32768, "n_positions": 1024, **_TOKENS}),
    "smollm2-135m": ("llama", _llama_like(
        576, 1536, 30, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152, tie_word_embeddings=True)),
    "mistral": ("mistral", _llama_like(192, 640, 4, tie_word_embeddings=False)),
    "qwen3": ("qwen3", _llama_like(192, 512, 4, head_dim=64, tie_word_embeddings=True)),
    "gemma2": ("gemma2", _llama_like(192, 768, 4, head_dim=64, vocab_size=32000)),
    "gemma3": ("gemma3_text", _llama_like(192, 768, 4, head_dim=64, vocab_size=32000, sliding_window=512)),
    "phi": ("phi", {**_llama_like(192, 768, 4), "num_key_value_heads": 4}),
    "phi3": ("phi3", _llama_like(192, 512, 4, pad_token_id=1)),
    "neox": ("gpt_neox", {**_llama_like(192, 768, 4), "num_key_value_heads": 4}),
    "opt": ("opt", {
        "hidden_size": 192, "ffn_dim": 768, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 8192,
        "max_position_embeddings": 1024, "word_embed_proj_dim": 192, **_TOKENS}),
    "mixtral": ("mixtral", _llama_like(192, 384, 4, num_local_experts=4, num_experts_per_tok=2)),
    "qwen2-moe": ("qwen2_moe", _llama_like(
        192, 384, 4, moe_intermediate_size=128, shared_expert_intermediate_size=256, num_experts=8, num_experts_per_tok=2)),
    "qwen3-moe": ("qwen3_moe", _llama_like(192, 384, 4, head_dim=64, moe_intermediate_size=128, num_experts=8, num_experts_per_tok=2)),
}  # fmt: skip
FOUR = ("tiny-llama", "qwen2-20m", "gpt2-50m", "smollm2-135m")
FAMILIES = tuple(name for name in MODELS if name not in FOUR)
PLAIN: Case = {
    "method": "lora", "quantization": None, "precision": "fp32", "gradient_checkpointing": False, "loop": "auto", "batch_size": 2,
    "max_length": 128, "dropout": 0.0, "rank": 16, "target_modules": "all-linear", "packing": False,
    "gradient_accumulation_steps": 1, "eval_steps": None,
}  # fmt: skip
SMALL, WIDE = {"batch_size": 2, "max_length": 128}, {"batch_size": 4, "max_length": 256}
SAVES = {"gradient_checkpointing": True}
REFERENCE = {"loop": "reference"}


def build_cases() -> Iterator[Case]:
    """All configurations, each once."""
    for model in FOUR:
        attention = ("c_attn",) if model.startswith("gpt2") else ("q_proj", "v_proj")
        for number, more in enumerate(_of_the_four(attention)):
            only_one_loop = model.startswith("gpt2") and "loop" in more
            too_slow = model == "smollm2-135m" and number in (4, 7, 9, 13, 15, 17)
            if not (only_one_loop or too_slow):
                yield {"model": model, **PLAIN, **more}
    for model, more in product(FAMILIES, _of_a_family()):
        # peft refuses dropout on fused experts
        yield {"model": model, **PLAIN, **more, **({"dropout": 0.0} if model in ("mixtral", "qwen3-moe") else {})}


def _of_the_four(attention: tuple[str, ...]) -> Iterator[Case]:
    yield SMALL
    yield {**SMALL, **SAVES}
    yield {**WIDE, **REFERENCE}
    yield {**WIDE, **SAVES, **REFERENCE}
    yield {**WIDE, "dropout": 0.1}
    yield {**SMALL, "precision": "bf16"}
    yield {**WIDE, "precision": "bf16", **REFERENCE}
    yield {**WIDE, "precision": "bf16", **SAVES, "dropout": 0.1}
    yield {**SMALL, "method": "dora"}
    yield {**WIDE, "method": "dora", **SAVES}
    yield {**SMALL, "method": "qlora", "quantization": "nf4"}
    yield {**WIDE, "method": "qlora", "quantization": "nf4", "precision": "bf16", **SAVES}
    yield {**SMALL, "method": "qlora", "quantization": "int8"}
    yield {**SMALL, "method": "qlora", "quantization": "int4", **SAVES}
    yield {**SMALL, "method": "pissa", "rank": 64}
    yield {**WIDE, "method": "rslora", "rank": 64, **SAVES, "gradient_accumulation_steps": 2}
    yield {**SMALL, "packing": True}
    yield {**WIDE, "target_modules": attention, "eval_steps": 1}


def _of_a_family() -> Iterator[Case]:
    yield SMALL
    yield {**WIDE, **SAVES}
    yield {**WIDE, "precision": "bf16", "dropout": 0.1}
    yield {**SMALL, "method": "qlora", "quantization": "nf4"}


def name_of(case: Case) -> str:
    """A configuration in a few words: what differs from plain LoRA in fp32."""
    words = [case["model"], case["method"], f"{case['batch_size']}x{case['max_length']}", case["precision"]]
    words += [case["quantization"]] if case["quantization"] else []
    words += ["checkpointed"] if case["gradient_checkpointing"] else []
    words += [case["loop"]] if case["loop"] != "auto" else []
    words += ["packed"] if case["packing"] else []
    words += [f"r{case['rank']}"] if case["rank"] != PLAIN["rank"] else []
    words += [f"dropout {case['dropout']}"] if case["dropout"] else []
    words += ["attention only"] if case["target_modules"] != PLAIN["target_modules"] else []
    words += [f"accumulates {case['gradient_accumulation_steps']}"] if case["gradient_accumulation_steps"] > 1 else []
    return " ".join(words)


def digest_of(case: Case) -> bytes:
    """A digest of the name: a draw that nobody can steer."""
    return hashlib.sha256(name_of(case).encode()).digest()


def is_held_out(case: Case) -> bool:
    """Half of the configurations, by the first bit of that digest: fixed before any formula was written."""
    return digest_of(case)[0] >= 128
