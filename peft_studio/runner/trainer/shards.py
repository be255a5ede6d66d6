"""A base model that no device holds whole: each process keeps a share of every layer and gathers a layer while it is at work (FSDP2).

The base is frozen, so nothing of it is ever reduced. The adapter is a few hundredths of it: each process has all of it, and its gradients
are averaged as they are without shards (:func:`.world.average_gradients`). So optimizers, clipping, checkpoints and the saved adapter are those
of a single process, and a checkpoint serves any number of devices. See docs/decisions/2026-11-26-several-gpus.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from peft_studio.runner.trainer.world import World


def shard_base(model: Any, world: World, *, kind: str) -> None:
    """Share out the base model of a peft model that lies in main memory, and put the rest on this process's device.

    A layer goes to the device whole, is cut, and what is not this process's is let go before the next one comes.
    """
    mesh = init_device_mesh(kind, (world.size,))
    adapter = {parameter for parameter in model.parameters() if parameter.requires_grad}
    device = torch.device(world.device(kind))
    for part in [*_layers_of(model.get_base_model()), model]:
        _place(part, adapter, device)
        # Also what is outside of the layers is let go after each pass: rank 0 alone saves, and that would let go of it there only, so that
        # the next gathering would be one of all processes but one.
        fully_shard(part, mesh=mesh, reshard_after_forward=True, ignored_params=adapter)
    register_fsdp_forward_method(model, "generate")  # which calls what lies inside, past the model's own forward


def is_sharded(model: Any) -> bool:
    """Whether its base is shared out."""
    return isinstance(model, FSDPModule)


def _layers_of(causal: Any) -> list[nn.Module]:
    """The decoder's layers: the longest list of modules there is, as transformers writes all its decoders."""
    lists = [list(module) for module in causal.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])


def _place(part: nn.Module, adapter: set[nn.Parameter], device: torch.device) -> None:
    """What FSDP does not move: it ignores the adapter."""
    for parameter in part.parameters():
        if parameter in adapter and parameter.device != device:
            parameter.data = parameter.data.to(device)
