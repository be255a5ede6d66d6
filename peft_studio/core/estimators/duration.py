"""Seconds that a run will take, part by part, from shapes, rows and a device's measured or published speed. Pure arithmetic.

Everything the process does is in it: starting, importing, loading, reading, steps, checkpoints, evaluations, samples, the adapter.

Legend: H hidden, Q = heads · head_dim, K = kv_heads · head_dim, F MLP width, r rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType

from peft_studio.core.compute.speed import DeviceSpeed, Products, Range
from peft_studio.core.estimators.estimate import Estimate, Number
from peft_studio.core.estimators.flops import (
    active_adapter_parameters,
    active_parameters,
    count_flops,
    count_forward_flops,
)
from peft_studio.core.estimators.rows import RowMix
from peft_studio.core.estimators.work import PROBE_STEPS, WIDTH, Work, count_work, is_probed, layer_traffic
from peft_studio.core.models.shapes import ModelShapes
from peft_studio.core.spec import RunSpec

PARTS = ("set-up", "download", "training", "evaluation", "samples", "saving")
STEP_S = 4e-3  # Trainer's own work between steps: callbacks, the loader, our log
TENSOR_S = 25e-6  # clipping and AdamW, for each adapter tensor
ADAPTER_PASSES = 10 * 4  # bytes an adapter weight moves in a step: gradient, weight and two moments, read and written
AGENT_S = 0.9  # launch until the trainer's interpreter begins
LOAD_S = 0.6  # attaching the adapter, building the Trainer, comparing the loops
ROW_S = 0.4e-3  # tokenising a row
CHECKPOINT_S = 0.09
EXPORT_S = 1.6  # write, load, compare, and the end of the process
FORWARD_SHARE = 0.35  # of a micro-batch's fixed costs, when there is no way back
DORA_PASSES = 24  # bytes a base weight moves in a micro-batch when its columns' norms are taken
DOWNLOAD = Range(60e6, 10e6, 400e6)  # bytes a second: a home line, a data centre
SETUP_SPREAD = Range(1.0, 0.7, 1.6)
UNKNOWN_SPREAD = Range(1.0, 0.5, 2.0)
_ROWS_SPREAD = Range(1.0, 0.6, 1.7)  # row lengths that were not counted


def estimate_duration(
    spec: RunSpec,
    shapes: ModelShapes,
    mix: RowMix,
    *,
    speed: DeviceSpeed,
    fast: bool,
    train_rows: int,
    eval_rows: int = 0,
    download_bytes: float = 0.0,
) -> Estimate:
    """Seconds from launch to the end of a run, by part.

    Args:
        spec: The run.
        shapes: Its base model.
        mix: Its rows.
        speed: Of the device.
        fast: Whether the run takes our own loop (``memory.takes_fast_loop``).
        train_rows, eval_rows: After the split.
        download_bytes: Of the base model, where it is not on the device yet.
    """
    products = speed.find(spec.precision, "fast" if fast else "reference")
    if products is None:
        raise ValueError(f"nothing is known of {spec.precision} on {speed.name}")
    work = count_work(spec, mix, fast=fast, train_rows=train_rows, eval_rows=eval_rows)
    adapter = shapes.adapter_parameters(spec.rank, spec.target_modules)
    training_s = _training_s(spec, shapes, products, work, speed=speed)
    parts: dict[str, float] = {
        "set-up": _setup_s(spec, shapes, speed, work) + _probe_s(spec, mix, work, training_s=training_s),
        "download": download_bytes / DOWNLOAD.value,
        "training": training_s,
        "evaluation": _evaluation_s(spec, shapes, products, work, speed=speed),
        "samples": _samples_s(spec, shapes, products, work, speed=speed),
        "saving": work.checkpoints * (CHECKPOINT_S + 12.0 * adapter / speed.disk_bytes_per_s)
        + EXPORT_S + 8.0 * adapter / speed.disk_bytes_per_s + (LOAD_S if spec.method == "pissa" else 0.0),
    }  # fmt: skip
    spreads = _spreads(shapes, mix, speed)
    low = sum(seconds * spreads[name].low for name, seconds in parts.items())
    high = sum(seconds * spreads[name].high for name, seconds in parts.items())
    shown: dict[str, Number] = {name: parts[name] for name in PARTS if parts[name]}
    return Estimate(
        sum(parts.values()), low, high, "s", _basis(spec, shapes, mix, speed=speed), MappingProxyType(shown)
    )


def micro_batch_s(
    products: Products, shapes: ModelShapes, *, flops: Mapping[str, float], traffic: float, count: float
) -> float:
    """Seconds of ``count`` micro-batches whose operations and bytes are given together.

    Attention's time goes with row length squared and half with the size of a head; its speed was measured with heads of 64.
    """
    return (
        count * (products.fixed_s + shapes.layers * products.layer_s + active_parameters(shapes) * products.weight_s)
        + sum(amount for name, amount in flops.items() if name != "attention") * products.s_per_flop
        + flops["attention"] * products.attention_s * (64 + shapes.head_dim) / (2 * shapes.head_dim)
        + traffic * products.s_per_byte
    )


def _training_s(spec: RunSpec, shapes: ModelShapes, products: Products, work: Work, *, speed: DeviceSpeed) -> float:
    targets, checkpointing = spec.target_modules, spec.gradient_checkpointing
    flops = count_flops(shapes, work.tokens, rank=spec.rank, targets=targets, recompute=checkpointing)
    bytes_a_token = layer_traffic(shapes, rank=spec.rank, targets=targets, precision=spec.precision)
    again = 4 / 3 if checkpointing else 1.0
    traffic = again * shapes.layers * bytes_a_token * work.tokens.computed
    seconds = micro_batch_s(products, shapes, flops=flops, traffic=traffic, count=again * work.micro_batches)
    if spec.dropout:
        dropped = shapes.layers * sum(one.inputs for one in shapes.targets(targets)) * work.tokens.computed
        seconds += again * dropped * products.dropout_s
    seconds += work.tokens.at_head * shapes.vocab * products.logit_s
    seconds += _unpacking_s(spec, shapes, speed, passes=work.micro_batches * (3 if spec.gradient_checkpointing else 2))
    weights = active_parameters(shapes)
    if spec.method == "dora":
        product = 2.0 * spec.rank * weights * products.s_per_flop
        seconds += again * work.micro_batches * (weights * DORA_PASSES / speed.memory_bytes_per_s + product)
    seconds = max(seconds, again * work.micro_batches * _launching_s(spec, shapes, products))
    tensors = 2 * shapes.layers * len(shapes.targets(spec.target_modules))
    adapter = active_adapter_parameters(shapes, rank=spec.rank, targets=spec.target_modules)
    return seconds + work.steps * (STEP_S + tensors * TENSOR_S + adapter * ADAPTER_PASSES / speed.memory_bytes_per_s)


def _evaluation_s(spec: RunSpec, shapes: ModelShapes, products: Products, work: Work, *, speed: DeviceSpeed) -> float:
    if not work.evaluations:
        return 0.0
    flops = count_forward_flops(shapes, work.eval_tokens, rank=spec.rank, targets=spec.target_modules)
    traffic = layer_traffic(
        shapes, rank=spec.rank, targets=spec.target_modules, precision=spec.precision, backward=False
    )
    seconds = micro_batch_s(
        products, shapes, flops=flops, traffic=traffic * shapes.layers * work.eval_tokens.computed,
        count=FORWARD_SHARE * work.eval_micro_batches,
    )  # fmt: skip
    seconds += 0.5 * work.eval_tokens.at_head * shapes.vocab * products.logit_s
    seconds += _unpacking_s(spec, shapes, speed, passes=work.eval_micro_batches)
    return max(seconds, FORWARD_SHARE * work.eval_micro_batches * _launching_s(spec, shapes, products))


def _samples_s(spec: RunSpec, shapes: ModelShapes, products: Products, work: Work, *, speed: DeviceSpeed) -> float:
    """A token at a time: every weight is read for each."""
    weights = active_parameters(shapes) + shapes.vocab * shapes.hidden
    width = WIDTH[spec.precision]
    one = weights * width / speed.memory_bytes_per_s + FORWARD_SHARE * (
        products.fixed_s + shapes.layers * products.layer_s
    )
    one += _unpacking_s(spec, shapes, speed, passes=1)
    return work.sampled_tokens * max(one, FORWARD_SHARE * _launching_s(spec, shapes, products))


def _launching_s(spec: RunSpec, shapes: ModelShapes, products: Products) -> float:
    """Of a micro-batch, forward and backward; 0 where nothing is launched beside the work itself."""
    one = products.launches
    if one is None:
        return 0.0
    quantised = len(shapes.linears) if spec.quantization else 0
    a_layer = one.layer_s + one.adapter_s * len(shapes.targets(spec.target_modules)) + one.quantised_s * quantised
    return shapes.layers * a_layer


def _unpacking_s(spec: RunSpec, shapes: ModelShapes, speed: DeviceSpeed, *, passes: float) -> float:
    if spec.quantization is None:
        return 0.0
    per_weight = speed.unpack_s.get("int8" if spec.quantization == "int8" else "nf4")
    if per_weight is None:  # the weight is written out in 16 bits and read again
        per_weight = 4.5 / speed.memory_bytes_per_s
    return passes * per_weight * shapes.layers * sum(one.inputs * one.outputs for one in shapes.linears)


def _setup_s(spec: RunSpec, shapes: ModelShapes, speed: DeviceSpeed, work: Work) -> float:
    loaded = shapes.parameters * WIDTH[spec.precision] / speed.disk_bytes_per_s
    quantising = shapes.parameters * 20e-9 if spec.quantization else 0.0
    return AGENT_S + speed.imports_s + LOAD_S + loaded + quantising + work.read_rows * ROW_S


def _probe_s(spec: RunSpec, mix: RowMix, work: Work, *, training_s: float) -> float:
    """Real steps on the neediest micro-batch before the first one; its evaluation batch is too little to count."""
    if not is_probed(spec, work.micro_batches):
        return 0.0
    return PROBE_STEPS * training_s / work.micro_batches * mix.longest / mix.mean


def _spreads(shapes: ModelShapes, mix: RowMix, speed: DeviceSpeed) -> dict[str, Range]:
    work = speed.spread if shapes.known else UNKNOWN_SPREAD
    if not mix.known:
        work = Range(1.0, work.low * _ROWS_SPREAD.low, work.high * _ROWS_SPREAD.high)
    download = Range(1.0, DOWNLOAD.value / DOWNLOAD.high, DOWNLOAD.value / DOWNLOAD.low)
    loose = Range(1.0, work.low * 0.7, work.high * 1.5)
    return {
        "set-up": SETUP_SPREAD,
        "download": download,
        "training": work,
        "evaluation": loose,
        "samples": loose,
        "saving": loose,
    }


def _basis(spec: RunSpec, shapes: ModelShapes, mix: RowMix, *, speed: DeviceSpeed) -> str:
    rows = f"rows of {mix.mean:.0f} tokens on average" if mix.known else "row lengths guessed from the longest"
    text = f"operations counted from config.json over {rows}; {speed.name}: {speed.basis}"
    if not shapes.known:
        text += (
            f"; {shapes.family or 'this architecture'} is not known, so Llama's layers stand in and the range is wider"
        )
    return text


def predict_each(spec: RunSpec, duration: Estimate, *, eval_rows: int) -> dict[str, float]:
    """Seconds of one checkpoint, evaluation and sample, and of the saving at the end, as an estimate has them together."""
    steps = spec.planned_steps or 1
    evaluations = (1 + ((steps - 1) // spec.eval_steps if spec.eval_steps else 0)) if eval_rows else 0
    samples = ceil(steps / spec.sample_steps) * len(spec.sample_prompts) if spec.sample_steps else 0
    saving = float(duration.parts.get("saving", 0.0))
    share = CHECKPOINT_S / (ceil(steps / spec.save_steps) * CHECKPOINT_S + EXPORT_S)
    found = {"checkpoint": saving * share, "export": saving * (1 - share * ceil(steps / spec.save_steps))}
    for name, part, count in (("evaluation", "evaluation", evaluations), ("sample", "samples", samples)):
        if count:
            found[name] = float(duration.parts.get(part, 0.0)) / count
    return found
