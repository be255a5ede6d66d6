"""Dealing out the rows of a step to several processes, so that a step sees the rows that it would see with one.

A process may come away empty-handed at the end of an epoch; it then goes through :func:`build_filler`, which teaches nothing, because the
others need it for what they do together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch.utils.data import DataLoader

from peft_studio.core.estimators.shares import Share, share_step, step_items
from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer.order import LongestFirst
from peft_studio.runner.trainer.rows import IGNORED, Row
from peft_studio.runner.trainer.world import World


@dataclass(frozen=True)
class Part:
    """What this process has to do: its place in the world, its share of a step of ``step_items``, and what a micro-batch of one process has."""

    world: World
    share: Share
    step_items: int
    micro_items: int


def build_part(spec: RunSpec, world: World) -> Part:
    """The part of a process in a run."""
    return Part(world, share_step(spec, world.size), step_items(spec), 1 if spec.packing else spec.batch_size)


class DealtBatches:
    """The micro-batches of one process, as lists of item numbers: ``share.micro_batches`` for every step, the last of an epoch too."""

    def __init__(self, order: LongestFirst, part: Part) -> None:
        self._order, self._step_items, self._share, self._world = order, part.step_items, part.share, part.world

    def set_epoch(self, epoch: int) -> None:
        """Trainer calls this before each epoch."""
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self._order) // self._step_items) * self._share.micro_batches

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self._order)
        for start in range(0, len(order), self._step_items):
            dealt = deal(order[start : start + self._step_items], self._share.micro_batches * self._world.size)
            yield from dealt[self._world.rank :: self._world.size]


def deal(items: Sequence[int], hands: int) -> list[list[int]]:
    """``items`` in order, in so many pieces of which none is longer than another by more than one."""
    ends = [len(items) * number // hands for number in range(hands + 1)]
    return [list(items[start:end]) for start, end in pairwise(ends)]


class DealtLoader(DataLoader):
    """A loader of dealt micro-batches that hears of epochs."""

    def set_epoch(self, epoch: int) -> None:
        """Trainer calls this before each epoch."""
        batches: Any = self.batch_sampler
        batches.set_epoch(epoch)


def fill(collate: Callable[[list[Any]], dict[str, Any]], filler: Row) -> Callable[[list[Any]], dict[str, Any]]:
    """A collator that has something for an empty hand."""
    return lambda items: collate(items or [filler])


def build_filler(row: Row) -> Row:
    """Two tokens of which none is learnt: its loss is nought, and so is its gradient."""
    return {"input_ids": row["input_ids"][:2], "labels": [IGNORED] * len(row["input_ids"][:2])}
