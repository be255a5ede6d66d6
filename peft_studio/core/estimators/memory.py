"""Memory that a run or a conversation will take, from config.json alone: no torch, no weights, well under 5 ms.

Bytes of tensors come from :mod:`training_memory`; this module adds what is not a tensor (libraries or a CUDA context, an allocator's
share), shares the rest out over devices, and says how sure the sum is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from peft_studio.core.estimators.estimate import Estimate
from peft_studio.core.estimators.layer_memory import mlp_width
from peft_studio.core.estimators.step_shape import FP32, StepShape
from peft_studio.core.estimators.training_memory import count_trained, count_training_bytes, count_weight_bytes
from peft_studio.core.models.shapes import ModelShapes
from peft_studio.core.spec import RunSpec

Sharding = Literal["ddp", "fsdp"]

LIBRARIES_BYTES = 506e6  # torch 2.13, transformers 5.23, peft 0.21 and bitsandbytes 0.50 imported on Linux, measured
FIRST_USED_BYTES = (
    30e6  # code, stacks and buffers that a first step brings in: 15 to 50 MB in the runs of benchmarks/memory
)
# oneDNN compiles a bf16 kernel for every shape of product it meets and keeps up to 1,024: 0.45 to 1 GB in runs whose rows differ in
# length (AVX512-BF16, seven runs), next to nothing where all micro-batches are alike.
BF16_KERNELS_BYTES, BF16_KERNELS_AT_MOST = 700e6, 1.1e9
# What the driver shows beyond what torch has reserved: 0.14 GiB is published for a T4, 0.76 was measured on an H100 (driver 580, torch 2.11,
# bitsandbytes 0.50 loaded); between them for others.
CUDA_CONTEXT_BYTES, CUDA_CONTEXT_AT_MOST = 500e6, 816e6
CUBLAS_BYTES = (
    32 << 20
)  # torch's default workspace on Hopper, the largest; about 8 MiB elsewhere (torch docs, CUDA semantics)
KEPT_BY_MALLOC = 0.03  # of live bytes, with its mmap threshold fixed at 64 KiB: benchmarks/memory
KEPT_AT_MOST = 0.9  # with glibc's own settings: it keeps 3 to 90 %
CLOSED_SHARE = 0.06  # of live bytes: where nine in ten configurations of benchmarks/memory lie, with room
UNKNOWN_SHARE = 0.3
# What torch's CUDA allocator reserves beyond what is alive: it rounds and it fragments. 1 to 5 % in the published runs of benchmarks/memory,
# 6, 8 and 15 to 19 % in ours on an H100 that had room; where there is none it gives back what it merely keeps.
RESERVED_SHARE, RESERVED_AT_MOST = 0.05, 0.1
SHARDED = ("weights", "quantisation constants")  # the adapter and what belongs to it is whole on every device
FAST_FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})


def estimate_training_memory(
    spec: RunSpec,
    shapes: ModelShapes,
    *,
    device: str,
    row_tokens: int | None = None,
    gpus: int = 1,
    sharding: Sharding = "ddp",
    chunked_loss: bool = False,
) -> Estimate:
    """Peak memory of one device while ``spec`` trains.

    Args:
        device: ``cpu`` or ``cuda``.
        row_tokens: Longest row, where it is known to be shorter than ``max_length``.
        gpus: Devices that share the run.
        sharding: Whether each holds everything (``ddp``) or a share of the weights (``fsdp``).
        chunked_loss: Logits are made and used up piece by piece (Liger).
    """
    row = min(row_tokens or spec.max_length, spec.max_length)
    step = StepShape(
        tokens=spec.batch_size * (spec.max_length if spec.packing else row), rows=spec.batch_size, rank=spec.rank,
        targets=spec.target_modules, precision=spec.precision, quantization=spec.quantization, dora=spec.method == "dora",
        dropout=spec.dropout, checkpointing=spec.gradient_checkpointing, optimizer=spec.optimizer,
        accumulates=spec.gradient_accumulation_steps > 1, fast=takes_fast_loop(spec, shapes, device), chunked_loss=chunked_loss,
        on_gpu=device != "cpu",
    )  # fmt: skip
    parts = count_training_bytes(shapes, step)
    if gpus > 1:
        parts = _shard(parts, shapes, step, gpus) if sharding == "fsdp" else _replicate(parts, shapes, step)
    kernels = device == "cpu" and spec.precision == "bf16"
    if spec.packing and not step.fast:
        batch = parts.get("activations", 0.0) + parts.get("logits", 0.0)
        return _answer(
            parts,
            shapes,
            device,
            kernels=kernels,
            more=batch,
            doubt="a packed batch is padded to its longest row and can be twice as large",
        )
    return _answer(parts, shapes, device, kernels=kernels)


def estimate_inference_memory(
    shapes: ModelShapes,
    *,
    precision: str,
    quantization: str | None,
    context_tokens: int,
    batch_size: int = 1,
    device: str,
) -> Estimate:
    """Memory to answer ``batch_size`` conversations of ``context_tokens`` tokens: weights, keys and values, and reading the prompt."""
    step = StepShape(tokens=0, rank=0, targets=(), precision=precision, quantization=quantization)
    tokens, width = context_tokens * batch_size, step.compute
    cache = shapes.layers * 2 * shapes.kv_heads * shapes.head_dim * tokens * width
    # The widest moment of a layer that keeps nothing: gate, up and their product, beside the stream and its norm.
    reading = tokens * (3 * max(mlp_width(shapes), shapes.hidden) + 2 * shapes.hidden) * width
    weights = count_weight_bytes(shapes, step, rest=width)
    logits = batch_size * shapes.vocab * (FP32 + width)
    return _answer({**weights, "activations": float(cache + reading), "logits": float(logits)}, shapes, device)


def takes_fast_loop(spec: RunSpec, shapes: ModelShapes, device: str) -> bool:
    """Whether the run will take our own loop, as far as shapes can tell."""
    same_width = spec.precision == "fp32" if spec.quantization else spec.precision in ("fp32", "bf16")
    return device == "cpu" and spec.loop != "reference" and same_width and shapes.family in FAST_FAMILIES


def _replicate(parts: Mapping[str, float], shapes: ModelShapes, step: StepShape) -> dict[str, float]:
    """DDP: everything on each device, and the buffer in which gradients travel."""
    return {**parts, "workspace": parts.get("workspace", 0.0) + count_trained(shapes, step) * FP32}


def _shard(parts: Mapping[str, float], shapes: ModelShapes, step: StepShape, gpus: int) -> dict[str, float]:
    """FSDP: a share of the base, and what is gathered of it: both ends of the model, the layer at work, and the next one on its way."""
    found = {name: size / gpus if name in SHARDED else size for name, size in _replicate(parts, shapes, step).items()}
    ends = shapes.embedding_parameters * step.stream
    layer = max(0.0, parts["weights"] + parts.get("quantisation constants", 0.0) - ends) / shapes.layers
    elsewhere = sum(parts.get(name, 0.0) for name in SHARDED) * (1 - 1 / gpus)
    found["workspace"] += min(ends + 2 * layer, elsewhere)
    return found


def _answer(
    parts: Mapping[str, float],
    shapes: ModelShapes,
    device: str,
    *,
    kernels: bool = False,
    more: float = 0.0,
    doubt: str = "",
) -> Estimate:
    """The parts with what is not a tensor. ``kernels``: bf16 ones are compiled. ``more``: bytes that may come on top, for the reason in ``doubt``."""
    found, live = dict(parts), sum(parts.values())
    spread = CLOSED_SHARE if shapes.known else UNKNOWN_SHARE
    most = live * (1 + spread) + more
    notes = ["closed form from config.json"]
    if not shapes.known:
        notes.append(
            f"{shapes.family or 'this architecture'} is not known, so Llama's layers stand in and the range is wide"
        )
    if device == "cpu":
        found["context"] = LIBRARIES_BYTES + FIRST_USED_BYTES
        found["workspace"] = found.get("workspace", 0.0) + live * KEPT_BY_MALLOC
        high = most * (1 + KEPT_AT_MOST) + LIBRARIES_BYTES + 2 * FIRST_USED_BYTES
        notes.append("the range covers glibc's allocator, which keeps 3 to 90 % beyond what is alive")
        if kernels:
            found["context"] += BF16_KERNELS_BYTES
            high += BF16_KERNELS_AT_MOST
            notes.append("oneDNN keeps a bf16 kernel for every length of a batch")
    else:
        found["context"] = CUDA_CONTEXT_BYTES
        found["workspace"] = found.get("workspace", 0.0) + live * RESERVED_SHARE + CUBLAS_BYTES
        high = most * (1 + RESERVED_AT_MOST) + CUDA_CONTEXT_AT_MOST + CUBLAS_BYTES
        notes.append("the CUDA context is a usual one, not this card's")
    notes += [doubt] if doubt else []
    shown = MappingProxyType({name: size for name, size in found.items() if size})
    value = sum(shown.values())
    low = value - live * spread - (BF16_KERNELS_BYTES if kernels else 0.0)
    return Estimate(value, low, max(value, high), "bytes", "; ".join(notes), shown)
