"""Counts the bytes of all tensors that are alive at once, operation by operation, on real tensors or on fake ones.

This is what a training step needs before any allocator rounds it up. A tensor counts from the operation that makes it until
its storage is freed; views share a storage and count once. What an operation allocates inside itself is seen for bitsandbytes alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from peft_studio.runner.trainer.insides import find_insides


class LiveBytes(TorchDispatchMode):
    """While active, ``now`` is how many bytes are alive and ``peak`` the most there were, reached in operation ``peak_at``.

    Args:
        existing: Tensors that are there already, such as a model's parameters and buffers.
    """

    def __init__(self, existing: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self.peak_at = ""
        self.section = ""
        self.peaks: dict[str, tuple[int, str]] = {}  # section → most bytes in it, and the operation
        self._known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        for tensor in existing:
            self._count(tensor, "before the first step")

    def enter(self, section: str) -> None:
        """What follows belongs to this section of the work, until the next is entered."""
        self.section = section
        self.peaks.setdefault(section, (self.now, ""))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (inside := find_insides().get(func)) is not None:
            with self:
                out = inside(*args, **(kwargs or {}))
            if out is not NotImplemented:
                return out
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf, str(func))
        return out

    def _count(self, tensor: torch.Tensor, operation: str) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known[storage] = size
        weakref.finalize(storage, self._freed, size)
        self.now += size
        if self.now > self.peak:
            self.peak, self.peak_at = self.now, operation
        if self.now > self.peaks.get(self.section, (0, ""))[0]:
            self.peaks[self.section] = self.now, operation

    def _freed(self, size: int) -> None:
        self.now -= size
