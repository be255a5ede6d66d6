"""How much there is to do in a run: steps, micro-batches, tokens through the layers and at the head, evaluations, checkpoints, samples.

Legend: Q = heads · head_dim, K = kv_heads · head_dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from peft_studio.core.estimators.flops import Tokens
from peft_studio.core.estimators.rows import RowMix
from peft_studio.core.models.shapes import ModelShapes
from peft_studio.core.spec import RunSpec

WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2}
SAMPLE_TOKENS = 64
FILL = 0.95  # of a packed micro-batch
PROBE_STEPS = 2  # the optimizer's state is there in the second
PROBE_FROM = 40  # micro-batches of a run; a shorter one meets its longest at once anyway, and the probe would take above 5 % of it


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do. ``micro_batches`` and ``computed`` tokens are of the whole run."""

    steps: int
    micro_batches: int
    rows: int
    tokens: Tokens
    eval_tokens: Tokens
    evaluations: int
    eval_micro_batches: int
    checkpoints: int
    sampled_tokens: int
    read_rows: int


def count_work(spec: RunSpec, mix: RowMix, *, fast: bool, train_rows: int, eval_rows: int) -> Work:
    """What a run of this spec computes over these rows, on however many devices."""
    if spec.packing:
        capacity = spec.batch_size * spec.max_length
        per_micro_rows = max(1.0, capacity * FILL / mix.mean)
    else:
        per_micro_rows = float(min(spec.batch_size, max(1, train_rows)))
    per_epoch = max(1, ceil(train_rows / per_micro_rows))
    steps_per_epoch = max(1, ceil(per_epoch / spec.gradient_accumulation_steps))
    steps = spec.max_steps or max(1, ceil(steps_per_epoch * spec.epochs))
    epochs = steps / steps_per_epoch
    micro_batches = ceil(epochs * per_epoch)
    rows = round(min(epochs * train_rows, micro_batches * per_micro_rows))
    evaluations = (1 + ((steps - 1) // spec.eval_steps if spec.eval_steps else 0)) if eval_rows else 0
    prompts = len(spec.sample_prompts)
    sampled = (ceil(steps / spec.sample_steps) if spec.sample_steps and prompts else 0) * prompts * SAMPLE_TOKENS
    return Work(
        steps=steps, micro_batches=micro_batches, rows=rows,
        tokens=_computed(spec, mix, rows=float(rows), per_micro=per_micro_rows, fast=fast),
        eval_tokens=_computed(spec, mix, rows=float(eval_rows * evaluations), per_micro=float(spec.batch_size), fast=fast),
        evaluations=evaluations, eval_micro_batches=evaluations * ceil(eval_rows / spec.batch_size),
        checkpoints=ceil(steps / spec.save_steps), sampled_tokens=sampled, read_rows=train_rows + eval_rows,
    )  # fmt: skip


def is_probed(spec: RunSpec, micro_batches: int) -> bool:
    """Whether real steps on the neediest micro-batch come before the run."""
    return spec.probe and ("probe" in spec.chosen or micro_batches >= PROBE_FROM)


def layer_traffic(
    shapes: ModelShapes, *, rank: int, targets: str | tuple[str, ...], precision: str, backward: bool = True
) -> float:
    """Bytes a token moves through one layer outside of its products: norms, rotations, activations, residuals, adapters' sums."""
    q, k = shapes.heads * shapes.head_dim, shapes.kv_heads * shapes.head_dim
    width = shapes.intermediate
    if shapes.experts:
        width = shapes.experts.active * shapes.experts.width
    numbers = 10 * shapes.hidden + 6 * q + 4 * k + (6 if shapes.gated else 4) * width
    numbers += sum(3 * rank + 2 * one.outputs for one in shapes.targets(targets))
    return float(numbers * WIDTH[precision] * (3 if backward else 1))


def _computed(spec: RunSpec, mix: RowMix, *, rows: float, per_micro: float, fast: bool) -> Tokens:
    if fast:
        shared = mix.shared if spec.dropout == 0 and per_micro > 1 else 0
        computed = rows * mix.mean - shared * rows * (1 - 1 / per_micro)
        return Tokens(computed, mix.weighted, rows * mix.mean * mix.learnt, causal_skip=True)
    computed = rows * mix.widest
    return Tokens(computed, mix.widest, computed, causal_skip=False)
