"""Whether a base model fits the memory that is free, and what to do when it does not.

Pure arithmetic over tensor shapes and a number of bytes. Knows nothing of how much memory there is, nor of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peft_studio.core.models.facts import ModelFacts
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.weights import Tensor

BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}
# 4 bits a weight and, doubly quantised in groups of 64, 0.127 bits of constants (arXiv 2305.14314, section 3).
_NF4_BYTES = 4.127 / 8
_RUNTIME_BYTES = 500_000_000  # torch, transformers, peft and bitsandbytes imported: 474 MB measured on Linux
_CACHE_TOKENS = 2048  # keys and values of a conversation of this length
_MARGIN = 1.1  # activations and the allocator's rounding


@dataclass(frozen=True)
class Fit:
    """How to load a model. ``quantization``: None or ``nf4``; ``reason``: a sentence, when memory decided."""

    quantization: str | None
    needs_bytes: int
    free_bytes: int
    reason: str = ""


def choose_fit(
    tensors: Mapping[str, Tensor], facts: ModelFacts, *, free_bytes: int, precision: str, on_gpu: bool = False
) -> Fit:
    """Load as it is when that fits, else as nf4.

    Raises:
        ModelFailure: Not even nf4 fits (code ``no-memory``).
    """
    plain = estimate_chat_bytes(tensors, facts, precision=precision, nf4=False, on_gpu=on_gpu)
    if plain <= free_bytes:
        return Fit(None, plain, free_bytes)
    small = estimate_chat_bytes(tensors, facts, precision=precision, nf4=True, on_gpu=on_gpu)
    if small > free_bytes:
        raise ModelFailure(
            f"The model needs about {_gb(plain)} ({_gb(small)} as nf4); {_gb(free_bytes)} is free.",
            code="no-memory",
            hint="Close other programs or chats, or choose a smaller model.",
        )
    reason = (
        f"{_gb(free_bytes)} is free; {precision} needs about {_gb(plain)}, so it was quantised to nf4 ({_gb(small)})."
    )
    return Fit("nf4", small, free_bytes, reason)


def estimate_chat_bytes(
    tensors: Mapping[str, Tensor], facts: ModelFacts, *, precision: str, nf4: bool, on_gpu: bool = False
) -> int:
    """Memory to answer with a model: weights, keys and values of 2,048 tokens, and on a CPU the libraries."""
    width = BYTES[precision]
    weights = sum(t.elements * (_NF4_BYTES if nf4 and _is_quantised(name, t) else width) for name, t in tensors.items())
    # L · 2 (keys, values) · kv_heads · head_dim · tokens · bytes
    cache = (facts.layers or 0) * 2 * (facts.kv_heads or 0) * (facts.head_dim or 0) * _CACHE_TOKENS * width
    return int((weights + cache) * _MARGIN) + (0 if on_gpu else _RUNTIME_BYTES)


def _is_quantised(name: str, tensor: Tensor) -> bool:
    """bitsandbytes quantises linear layers and leaves embeddings and the output head as they are."""
    kept = any(part in name for part in ("embed", "wte", "wpe", "lm_head"))
    return len(tensor.shape) == 2 and not kept


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
