"""Several processes that train one run: who this one is among them, and the few things they say to each other.

Started with torch's own environment (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT), by our agent or by whoever
else. Knows nothing of models. Alone, every function answers for one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

PATIENCE = timedelta(minutes=30)  # rank 0 may evaluate or save while the others wait


@dataclass(frozen=True, slots=True)
class World:
    """``rank`` of ``size`` processes, with device ``local_rank`` of its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this one writes what is written: events, numbers, checkpoints, the adapter."""
        return self.rank == 0

    def device(self, kind: str) -> str:
        """This process's device of a kind."""
        return f"cuda:{self.local_rank}" if kind == "cuda" and self.size > 1 else kind


def read_world() -> World:
    """What the environment says."""
    rank, size, local = (
        int(os.environ.get(name, usual)) for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    return World(rank, size, local)


def join_world(world: World, *, kind: str) -> None:
    """Meet the others; returns when all are there. Safe to call twice.

    Raises:
        RuntimeError: One did not come.
    """
    if world.size == 1 or distributed.is_initialized():
        return
    if kind == "cuda":
        torch.cuda.set_device(world.local_rank)
    # What is counted lies in main memory, so gloo is there beside NCCL.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)


def leave_world() -> None:
    """Part from the others, without waiting for them."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def sum_over_ranks(*numbers: float) -> list[float]:
    """Each number, summed over all processes."""
    if not distributed.is_initialized():
        return list(numbers)
    total = torch.tensor(numbers, dtype=torch.float64)
    distributed.all_reduce(total)
    return [float(one) for one in total]


def any_rank(flag: bool) -> bool:
    """Whether it holds in any process."""
    return sum_over_ranks(float(flag))[0] > 0


def wait_for_all(world: World) -> None:
    """Return when every process of it has come this far."""
    if world.size > 1:
        distributed.barrier()


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over all processes, in one message. One that no process has stays away."""
    if not distributed.is_initialized():
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    device = trained[0].device
    has = torch.tensor([parameter.grad is not None for parameter in trained], dtype=torch.float32, device=device)
    flat = torch.cat(
        [has, *((p.grad if p.grad is not None else torch.zeros_like(p)).flatten().float() for p in trained)]
    )
    distributed.all_reduce(flat)
    anywhere, gradients = flat[: len(trained)].tolist(), flat[len(trained) :]
    pieces = gradients.div_(distributed.get_world_size()).split([parameter.numel() for parameter in trained])
    for parameter, there, piece in zip(trained, anywhere, pieces, strict=True):
        parameter.grad = piece.view_as(parameter).to(parameter.dtype) if there else None
