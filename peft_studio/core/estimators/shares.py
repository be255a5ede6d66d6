"""What each process does of an optimizer step, when several train one run. The step sees the same rows however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peft_studio.core.spec import RunSpec

Strategy = Literal["single", "ddp", "fsdp"]
"""One process; several that hold the whole model each; several that hold a share of it each."""


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of a step: ``micro_batches`` of at most ``items`` rows (with packing, of packed micro-batches) each."""

    items: int
    micro_batches: int


def step_items(spec: RunSpec) -> int:
    """Rows of an optimizer step; with packing, packed micro-batches."""
    return spec.gradient_accumulation_steps if spec.packing else spec.batch_size * spec.gradient_accumulation_steps


def share_step(spec: RunSpec, processes: int) -> Share:
    """The fewest micro-batches that are no larger than the spec's, then as small as these may be.

    Where the step cannot be dealt out evenly, some of them have a row less, or none.
    """
    most = 1 if spec.packing else spec.batch_size
    items = step_items(spec)
    micro_batches = -(-items // (most * processes))
    return Share(-(-items // (micro_batches * processes)), micro_batches)
