"""The configurations: four models, methods, checkpointing, lengths, batches. Every second one is held out."""

from __future__ import annotations

from itertools import product
from typing import Any

TOKENS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-tiny": ("llama", {
        "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 4096, "max_position_embeddings": 2048, "tie_word_embeddings": True, **TOKENS,
    }),
    "qwen2-20m": ("qwen2", {
        "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
        "vocab_size": 16384, "max_position_embeddings": 2048, "tie_word_embeddings": False, **TOKENS,
    }),
    "gpt2-50m": ("gpt2", {"n_embd": 512, "n_layer": 8, "n_head": 8, "vocab_size": 32768, "n_positions": 1024, **TOKENS}),
    "smollm2-135m": ("llama", {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True, **TOKENS,
    }),
}  # fmt: skip


def _cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    sizes = {"llama-tiny": ((4, 256), (16, 512)), "qwen2-20m": ((2, 256), (8, 256)), "gpt2-50m": ((2, 128), (4, 512)), "smollm2-135m": ((2, 128), (4, 256))}
    for model, pairs in sizes.items():
        for (batch, length), saves, loop in product(pairs, (False, True), ("auto", "reference")):
            if model == "gpt2-50m" and loop == "auto":
                continue  # the fast loop does not know it: the reference loop either way
            found.append({"model": model, "method": "lora", "batch_size": batch, "max_length": length, "gradient_checkpointing": saves, "loop": loop})
        batch, length = pairs[0]
        found.append({"model": model, "method": "dora", "batch_size": batch, "max_length": length, "gradient_checkpointing": False, "loop": "auto"})
        if model != "gpt2-50m":
            found.append({"model": model, "method": "qlora", "quantization": "nf4", "batch_size": batch, "max_length": length, "gradient_checkpointing": False, "loop": "auto"})
    return found


CASES = _cases()


def name_of(case: dict[str, Any]) -> str:
    """A configuration in a line."""
    saves = " checkpointed" if case["gradient_checkpointing"] else ""
    return f"{case['model']} {case['method']} {case['batch_size']}x{case['max_length']}{saves} {case['loop']}"
