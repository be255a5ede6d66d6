"""Which models the fast path can take, and a sentence for people when it cannot.

Says no by default: what is not listed here has not been shown equal to the reference loop. Whether a listed model really is
equal on this machine is measured by :mod:`.equality`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.lora import layer as peft_layer
from torch import nn

from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer.fast.layers import ATTENTIONS, MLPS, RMS_NORMS

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
# These choose their frequencies by the longest sequence of the batch, which a flat row does not have.
_LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


def unsupported(model: nn.Module, spec: RunSpec | None = None) -> str | None:
    """None if the fast path can take this model, else the reason as a sentence.

    Args:
        model: A peft model, on its device and in its dtypes.
        spec: The run; its ``max_length`` decides whether a sliding window bites, its ``precision`` what the base must be.
    """
    if not isinstance(model, PeftModel):
        return "The fast loop trains LoRA adapters; this model has none."
    causal = model.get_base_model()
    if type(causal).__name__ not in ARCHITECTURES or not type(causal).__module__.startswith("transformers.models."):
        return f"The fast loop knows Llama, Mistral, Qwen2 and Qwen3 models; this is {type(causal).__name__}."
    return next((reason for check in _CHECKS for reason in check(model, causal, spec)), None)


def _device(model: Any, causal: Any, spec: RunSpec | None) -> Iterator[str]:
    kinds = sorted({parameter.device.type for parameter in model.parameters()} - {"cpu"})
    if kinds:
        yield f"The fast loop is written for and measured on CPUs; this model is on {', '.join(kinds)}."


def _dtypes(model: Any, causal: Any, spec: RunSpec | None) -> Iterator[str]:
    base = causal.lm_head.weight.dtype
    if base not in (torch.float32, torch.bfloat16):
        yield f"The fast loop computes in float32 or bfloat16; the base model is in {base}."
    elif spec is not None and spec.precision != {torch.float32: "fp32", torch.bfloat16: "bf16"}[base]:
        yield f"The run asks for {spec.precision}, but the base model was loaded in {base}; the fast loop does not mix them."


def _adapter(model: Any, causal: Any, spec: RunSpec | None) -> Iterator[str]:
    if len(model.peft_config) != 1:
        yield f"The fast loop trains one adapter; this model has {len(model.peft_config)}."
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    others = [name for name in sorted(trained) if ".lora_" not in name]
    if others:
        yield f"The fast loop trains LoRA matrices only; {others[0]} is trained too."
    if not trained:
        yield "No parameter of this model is trained."
    for name, module in causal.named_modules():
        if isinstance(module, LoraLayer) and not isinstance(module.get_base_layer(), nn.Linear):
            yield f"The fast loop knows adapters on linear layers; {name} is {type(module.get_base_layer()).__name__}."


def _head(model: Any, causal: Any, spec: RunSpec | None) -> Iterator[str]:
    head = causal.lm_head
    if type(head) is not nn.Linear or head.bias is not None:
        yield f"The fast loop needs a plain output layer; this one is {type(head).__name__}."
    elif head.weight.requires_grad:
        yield "The fast loop keeps the output layer frozen; here it is trained."


def _attention(model: Any, causal: Any, spec: RunSpec | None) -> Iterator[str]:
    config = causal.config
    if getattr(config, "attention_dropout", 0.0):
        yield "The base model drops attention weights while training; the fast loop does not."
    window = getattr(config, "sliding_window", None)
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ()) or config.model_type == "mistral"
    if window and sliding and (spec is None or spec.max_length > window):
        yield f"Attention slides over {window} tokens and rows may be longer; the fast loop attends to the whole row."
    kind = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if kind in _LENGTH_DEPENDENT_ROPE:
        yield f"The rotary embedding ({kind}) depends on the longest row of the batch, which a flat row does not have."


def _modules(model: Any, causal: Any, spec: RunSpec | None) -> Iterator[str]:
    """Every layer must be of the kind that the patches were written for, and not covered by somebody else's patch."""
    for layer in causal.model.layers:
        parts = (layer.self_attn, ATTENTIONS), (layer.mlp, MLPS), (layer.input_layernorm, RMS_NORMS)
        for part, known in parts:
            if type(part).__name__ not in known or "forward" in part.__dict__:
                yield f"A decoder layer has {type(part).__name__}, which the fast loop does not know or finds already patched."
                return
        if layer.input_layernorm.weight.requires_grad:
            yield "The fast loop keeps norms frozen; here they are trained."
            return


_CHECKS: tuple[Callable[[Any, Any, RunSpec | None], Iterator[str]], ...] = (
    _device,
    _adapter,
    _head,
    _dtypes,
    _attention,
    _modules,
)


def partial_reason(model: nn.Module) -> str | None:
    """Why the fused LoRA product does not serve this supported model, or None if it serves it whole.

    Flat rows, isolated attention, fused loss and norms apply all the same.
    """
    from peft_studio.runner.trainer.fast.linear import is_plain

    for module in model.modules():
        if isinstance(module, LoraLayer) and not is_plain(module):
            if type(module) is peft_layer.Linear:
                return "the LoRA layers are of another form (DoRA), so they run by peft's own code"
            return f"the base layers are quantized ({type(module.get_base_layer()).__name__}), so they run by their own code"
    return None
