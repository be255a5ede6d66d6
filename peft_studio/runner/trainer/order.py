"""The order in which rows are visited: shuffled anew each epoch, and in the first one the micro-batch that needs most memory at its head.

A pure function of seed and epoch, so a resumed run goes on in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler

Need = Callable[[Sequence[int]], int]  # tokens that a micro-batch of items takes, padding included


class LongestFirst(Sampler):
    """accelerate's seeded shuffle (same order for the same seed), with one exchange in epoch 0.

    There the micro-batch with the greatest need changes places with the first, whole: what would go out of memory does so in the
    first minute, rows keep their company, and nothing is sorted.
    """

    def __init__(self, items: int, *, batch_size: int, seed: int, need: Need) -> None:
        self._items, self._batch_size, self._seed, self._need = items, batch_size, seed, need
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Trainer calls this before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._items

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self._items, generator=torch.Generator().manual_seed(self._seed + self._epoch)).tolist()
        return iter(order if self._epoch else put_longest_first(order, self._batch_size, self._need))


def put_longest_first(order: list[int], batch_size: int, need: Need) -> list[int]:
    """``order`` with the neediest whole micro-batch and the first one exchanged; an incomplete last one stays where it is."""
    whole = range(0, len(order) - batch_size + 1, batch_size)
    if not whole:
        return order
    start = max(whole, key=lambda at: need(order[at : at + batch_size]))
    moved = list(order)
    moved[:batch_size], moved[start : start + batch_size] = order[start : start + batch_size], order[:batch_size]
    return moved


@dataclass(frozen=True)
class Layout:
    """How micro-batches take memory. ``lengths`` are those of rows; items are rows, or with ``bins`` numbers of packed micro-batches.

    ``flat``: rows lie end to end in one; otherwise they stand side by side, padded to the longest.
    """

    lengths: Sequence[int]
    flat: bool = False
    bins: list[list[int]] | None = None

    def need(self, items: Sequence[int]) -> int:
        """Tokens that a micro-batch of these items takes, padding included."""
        rows = [self.lengths[row] for item in items for row in (self.bins[item] if self.bins is not None else (item,))]
        return sum(rows) if self.flat else max(rows) * len(rows)

    def find_neediest(self, batch_size: int) -> list[int]:
        """The items of the neediest micro-batch that any epoch can bring: the longest rows together, or the largest packed batch."""
        if self.bins is None:
            return sorted(range(len(self.lengths)), key=lambda row: -self.lengths[row])[:batch_size]
        return [max(range(len(self.bins)), key=lambda item: self.need([item]))]
