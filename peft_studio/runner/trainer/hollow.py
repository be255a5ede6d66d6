"""A base model with its adapter as it will train, of tensors that have shape, dtype and device, and no content.

Owns how such a model comes about. bitsandbytes' layers are its own; only their packed weights and constants are put in place here, since
quantising needs content: 4 bits take half a byte a weight and one constant for 64 of them, in fp32 or (nf4) in a byte of its own with
an fp32 constant for 256 of those; int8 takes a byte a weight and one fp32 constant a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import _meta_registrations, nn
from torch._subclasses.fake_tensor import FakeTensor
from transformers import AutoConfig, AutoModelForCausalLM

from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer.load import DTYPES, build_quantization, keep_as_stored
from peft_studio.runner.trainer.methods import attach_adapter

_BLOCK = 64  # weights that share a constant
_OUTER_BLOCK = 256  # constants that share one, where they are quantised too
_SHAPES = torch.library.Library("aten", "IMPL")


class _Packed4(FakeTensor):
    """Content-free stand-in for bitsandbytes' ``Params4bit``."""


class _Packed8(FakeTensor):
    """Content-free stand-in for bitsandbytes' ``Int8Params``."""


# peft asks for the name of a weight's class to know how to unpack it.
_Packed4.__name__, _Packed8.__name__ = "Params4bit", "Int8Params"


def _grouped_product(a: Any, b: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
    """The shape of all experts' products. On a CPU torch 2.13 multiplies any dtype so, but gives shapes for bf16 alone."""
    half = torch.bfloat16
    return _meta_registrations.meta_grouped_mm(a.to(half), b.to(half), offs, bias, out_dtype).to(a.dtype)


_SHAPES.impl("_grouped_mm", _grouped_product, "Meta", allow_override=True)


def load_shape(folder: Path) -> Any:
    """The configuration in a model folder; its own code is never run."""
    return AutoConfig.from_pretrained(folder, local_files_only=True)


def build_meta_model(config: Any, spec: RunSpec) -> Any:
    """Base model and adapter on torch's meta device, the base quantised where the spec says so."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[spec.precision])
    model.config.use_cache = False
    if spec.quantization:
        _quantise(model, spec)
    # PiSSA trains as LoRA does; its decomposition, which needs content, stands before the first step.
    plain = spec.model_copy(update={"method": "lora"}) if spec.method == "pissa" else spec
    with torch.device("meta"):
        return attach_adapter(model, plain, scratch=Path())


def _quantise(model: Any, spec: RunSpec) -> None:
    """As ``from_pretrained`` does: every linear layer but the last, and those that share its weight."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    settings = build_quantization(spec.quantization, spec.precision)
    replace_with_bnb_linear(model, get_keys_to_not_convert(model), settings)
    model.is_quantized = True
    model.is_loaded_in_8bit, model.is_loaded_in_4bit = spec.quantization == "int8", spec.quantization != "int8"
    for module in _quantised_layers(model):
        _pack(module, DTYPES[spec.precision])
    keep_as_stored(model)


def _quantised_layers(model: nn.Module) -> Iterator[Any]:
    """bitsandbytes' own layers; peft's around them bear the same names."""
    for module in model.modules():
        if type(module).__module__ == "bitsandbytes.nn.modules":
            yield module


def _pack(module: Any, dtype: torch.dtype) -> None:
    """Give a layer of bitsandbytes the weights and constants that quantising would, without content."""
    from bitsandbytes.functional import QuantState
    from bitsandbytes.nn import Int8Params, Params4bit

    outputs, inputs = module.out_features, module.in_features
    if type(module).__name__ == "Linear8bitLt":
        packed = torch.empty(outputs, inputs, dtype=torch.int8, device="meta")
        scales = torch.empty(outputs, dtype=torch.float32, device="meta")
        module.weight = Int8Params(packed, requires_grad=False, has_fp16_weights=False, CB=packed, SCB=scales)
        return
    old, count = module.weight, outputs * inputs
    blocks = -(-count // _BLOCK)
    nested = bool(old.compress_statistics)

    def hollow(size: int, of: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(size, dtype=of, device="meta")

    outer = None
    if nested:
        outer = QuantState(
            hollow(-(-blocks // _OUTER_BLOCK)), blocksize=_OUTER_BLOCK, code=hollow(256), dtype=torch.float32
        )
    state = QuantState(
        hollow(blocks, torch.uint8 if nested else torch.float32), torch.Size((outputs, inputs)), hollow(16), _BLOCK,
        old.quant_type, dtype, torch.empty((), device="meta") if nested else None, outer,
    )  # fmt: skip
    packed = torch.empty((count + 1) // 2, 1, dtype=torch.uint8, device="meta")
    module.weight = Params4bit(
        packed, requires_grad=False, quant_state=state, compress_statistics=nested, quant_type=old.quant_type, bnb_quantized=True,
    )  # fmt: skip
    module.quant_state = state


def fill_with_fakes(model: nn.Module) -> None:
    """Exchange meta tensors for fake ones, which have a device; tied ones stay one. No library can build a model from fakes.

    Call it within the mode that makes the fakes.
    """
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, old in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(old) not in made:
                made[id(old)] = _fake_parameter(old)
            module._parameters[name] = made[id(old)]
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
    for module in _quantised_layers(model):
        _fill_constants(module)


def _fake_parameter(old: Any) -> Any:
    new = nn.Parameter(torch.empty(old.shape, dtype=old.dtype), requires_grad=old.requires_grad)
    kind = {"Params4bit": _Packed4, "Int8Params": _Packed8}.get(type(old).__name__)
    if kind is not None and isinstance(new, FakeTensor):
        new.__class__ = kind
    return new


def _fill_constants(module: Any) -> None:
    if type(module).__name__ == "Linear8bitLt":
        module.state.CB, module.state.SCB = module.weight.data, torch.empty(module.out_features)
        module.weight.CB = module.weight.SCB = None
        return
    state = module.quant_state
    for one in (state, state.state2):
        if one is not None:
            one.absmax = torch.empty(one.absmax.shape, dtype=one.absmax.dtype)
            one.code = torch.empty(one.code.shape)
    if state.offset is not None:
        state.offset = torch.empty(())
    module.weight.quant_state = state


def list_tensors(model: nn.Module) -> list[torch.Tensor]:
    """Everything that a model holds before its first step: parameters, buffers, and the constants of quantised layers."""
    found = [*model.parameters(), *model.buffers()]
    for module in _quantised_layers(model):
        if type(module).__name__ == "Linear8bitLt":
            held = [
                module.state.CB,
                module.state.SCB,
                getattr(module.weight, "CB", None),
                getattr(module.weight, "SCB", None),
            ]
        else:
            state = module.weight.quant_state
            held = [state.absmax, state.offset, state.state2.absmax if state.state2 is not None else None]
        found += [tensor for tensor in held if tensor is not None]
    return found
