"""One adapter's place inside peft's layers: cloning an empty one, and filling it from a file's tensors.

Knows how peft 0.21 keeps adapters: mappings by adapter name on each layer. ``swap`` checks the outcome against peft itself.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_PREFIX = "base_model.model."
_PARTS = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector")


class SlotError(Exception):
    """This adapter cannot take the short way; the text says why."""


def clone_slot(model: Any, layers: list[tuple[str, Any]], template: str, slot: str) -> None:
    """Give every layer that has ``template`` an entry ``slot`` of the same shapes, with weights left unset."""
    model.peft_config[slot] = copy.deepcopy(model.peft_config[template])
    for _, layer in layers:
        if not any(template in getattr(layer, part, ()) for part in _PARTS):
            continue
        # Plain dicts hold rank, scaling and the like; module and parameter dicts hold the weights.
        for value in [*vars(layer).values(), *layer._modules.values()]:
            if isinstance(value, (dict, nn.ModuleDict, nn.ParameterDict)) and template in value:
                value[slot] = _clone_entry(value[template])


def _clone_entry(value: Any) -> Any:
    if isinstance(value, nn.Parameter):
        return nn.Parameter(torch.empty_like(value), requires_grad=False)
    if not isinstance(value, nn.Module):
        return value  # numbers, and variants without a state
    # A shallow copy with parameters of its own costs 10 µs, a deep one 100, and a layer has two or three.
    twin = copy.copy(value)
    for name in ("_parameters", "_buffers", "_modules"):
        twin.__dict__[name] = {key: _clone_entry(part) for key, part in getattr(value, name).items()}
    return twin


def copy_into_slot(layers: list[tuple[str, Any]], slot: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy a file's tensors over the weights of ``slot``.

    Raises:
        SlotError: A tensor has no place of its shape, or a place got no tensor. Some may have been copied already.
    """
    by_name = dict(layers)
    filled = 0
    with torch.no_grad():
        for key, tensor in tensors.items():
            module, part, leaf = _split(key)
            holder = getattr(by_name.get(module), part, None) if part else None
            if holder is None or slot not in holder:
                raise SlotError(f"{key} belongs to no layer of an adapter")
            place = holder[slot] if isinstance(holder[slot], nn.Parameter) else getattr(holder[slot], leaf)
            if place.shape != tensor.shape:
                raise SlotError(f"{key} has another shape")
            place.copy_(tensor)
            filled += 1
    places = sum(slot in getattr(layer, part, ()) for _, layer in layers for part in _PARTS)
    if filled < places:
        raise SlotError(f"only {filled} of {places} weights are in the file")


def _split(key: str) -> tuple[str, str, str]:
    """``base_model.model.<module>.lora_A.weight`` → module, part, leaf; part is empty for anything else."""
    words = key.removeprefix(_PREFIX).split(".")
    leaf = words.pop() if words[-1] in ("weight", "bias") else "weight"
    part = words.pop()
    return (".".join(words), part, leaf) if part in _PARTS else ("", "", "")
