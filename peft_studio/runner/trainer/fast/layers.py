"""The patches: what a decoder layer's attention, MLP and norms do while the fast path is installed.

Each patch is an instance attribute named ``forward`` on a module and means the same as the method it covers, so generation,
evaluation and saving go on with the path installed. Attention is the exception: it takes the flat form when it is given
``segments``, which travel as an argument (not as state) so that gradient checkpointing finds them again when it recomputes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from peft_studio.runner.trainer.fast.attention import Segments, attend
from peft_studio.runner.trainer.fast.linear import apply_group

# Norms that are weight · x / rms(x). Gemma's is (1 + weight) · …, so this is a list of names, not a guess by suffix.
RMS_NORMS = frozenset({"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm"})
ATTENTIONS = frozenset({"LlamaAttention", "MistralAttention", "Qwen2Attention", "Qwen3Attention"})
MLPS = frozenset({"LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP"})


def _norm(module: Any, original: Callable[..., Any], x: torch.Tensor) -> torch.Tensor:
    return nn.functional.rms_norm(x, (x.shape[-1],), module.weight, module.variance_epsilon)


def _mlp(module: Any, original: Callable[..., Any], x: torch.Tensor) -> torch.Tensor:
    gate, up = apply_group((module.gate_proj, module.up_proj), x)
    return apply_group((module.down_proj,), module.act_fn(gate) * up)[0]


def _attention(
    module: Any, original: Callable[..., Any], *args: Any, segments: Segments | None = None, **kwargs: Any
) -> Any:
    if segments is None:
        return original(*args, **kwargs)
    return attend(module, kwargs["hidden_states"], kwargs["position_embeddings"], segments), None


def patch_layers(model: nn.Module) -> list[nn.Module]:
    """Cover ``forward`` of the attention, MLP and norm modules under ``model``; returns the modules touched."""
    touched = []
    for module in model.modules():
        name = type(module).__name__
        patch = _attention if name in ATTENTIONS else _mlp if name in MLPS else _norm if name in RMS_NORMS else None
        if patch is not None:
            module.forward = functools.partial(patch, module, module.forward)
            touched.append(module)
    return touched


def unpatch(modules: list[nn.Module]) -> None:
    """Take the covers off; each module's class answers again."""
    for module in modules:
        module.__dict__.pop("forward", None)
