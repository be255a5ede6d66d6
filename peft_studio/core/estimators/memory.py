"""Memory that a run or a conversation will take, from config.json alone: no torch, no weights, well under 5 ms.

Bytes of tensors come from ``training_memory``; this module adds what is not a tensor (libraries or a CUDA context, workspaces), shares
the rest out over GPUs, and says how sure the sum is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from peft_studio.core.estimators.estimate import Estimate
from peft_studio.core.estimators.step_shape import FP32, StepShape
from peft_studio.core.estimators.training_memory import count_static_bytes, count_trained, count_training_bytes
from peft_studio.core.models.shapes import ModelShapes
from peft_studio.core.spec import RunSpec

Sharding = Literal["ddp", "fsdp"]

LIBRARIES_BYTES = 506e6  # torch 2.13, transformers 5.23, peft 0.21 and bitsandbytes 0.50 imported on Linux, measured
CUDA_CONTEXT_BYTES = 500e6  # by driver and card: 0.15 GB on a T4, about 0.5 GB on an A100 or H100
CUBLAS_BYTES = 32 << 20  # torch's workspace on Hopper, the largest; 8 MiB elsewhere
GLIBC_SHARE = 0.9  # of live bytes, at most, that glibc's default threshold leaves unreturned
UNKNOWN_SHARE = 0.3
CLOSED_SHARE = 0.15
SHARDED = ("weights", "quantisation constants", "adapters", "gradients", "optimizer")
DDP_BUCKET_BYTES = 25 << 20  # torch's bucket_cap_mb
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
        chunked_loss: Logits are made and used up piece by piece (Liger, chunked cross-entropy).
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
    return _answer(_share_out(parts, shapes, step, gpus=gpus, sharding=sharding), shapes, device)


def estimate_inference_memory(
    shapes: ModelShapes,
    *,
    precision: str,
    quantization: str | None,
    context_tokens: int,
    batch_size: int = 1,
    device: str,
) -> Estimate:
    """Memory to answer ``batch_size`` conversations of ``context_tokens`` tokens."""
    step = StepShape(tokens=0, rank=0, targets=(), precision=precision, quantization=quantization)
    width = 4 if precision == "fp32" else 2
    cache = shapes.layers * 2 * shapes.kv_heads * shapes.head_dim * context_tokens * batch_size * width
    parts = {
        "weights": count_static_bytes(shapes, step)["weights"],
        "activations": float(cache),
        "logits": float(batch_size * shapes.vocab * 4),
    }
    return _answer(parts, shapes, device)


def takes_fast_loop(spec: RunSpec, shapes: ModelShapes, device: str) -> bool:
    """Whether the run will take our own loop, as far as shapes can tell."""
    kept_whole = spec.precision == "fp32" if spec.quantization else spec.precision in ("fp32", "bf16")
    return device == "cpu" and spec.loop != "reference" and kept_whole and shapes.family in FAST_FAMILIES


def _share_out(
    parts: Mapping[str, float], shapes: ModelShapes, step: StepShape, *, gpus: int, sharding: Sharding
) -> dict[str, float]:
    """What one of ``gpus`` devices holds: a share of weights and optimizer with FSDP, all of it with DDP."""
    found = dict(parts)
    if gpus < 2:
        return found
    if sharding == "ddp":
        # Gradients travel in buckets, which are views of them: what is more is the first, smallest bucket and what is on its way.
        trained = count_trained(shapes, step) * FP32
        found["workspace"] += min(trained, DDP_BUCKET_BYTES)
        return found
    whole = sum(found[name] for name in SHARDED)
    for name in SHARDED:
        found[name] /= gpus
    # The layer at work and the next one are gathered; the ends of the model are a unit of their own.
    unit = max(
        (found["weights"] + found["quantisation constants"]) * gpus / (shapes.layers + 1), _ends_bytes(shapes, step)
    )
    found["workspace"] = min(found["workspace"] + 2 * unit, found["workspace"] + whole * (1 - 1 / gpus))
    return found


def _ends_bytes(shapes: ModelShapes, step: StepShape) -> float:
    return shapes.embedding_parameters * step.stream


def _answer(parts: Mapping[str, float], shapes: ModelShapes, device: str) -> Estimate:
    live = sum(parts.values())
    found = dict(parts)
    spread = CLOSED_SHARE if shapes.known else UNKNOWN_SHARE
    high = live * (1 + spread)
    basis = "closed form from config.json"
    if device == "cpu":
        found["context"] = LIBRARIES_BYTES
        high = high * (1 + GLIBC_SHARE) + LIBRARIES_BYTES
        basis += "; the range covers glibc's allocator, which keeps 3 to 90 % more than is alive"
    else:
        found |= {"workspace": float(CUBLAS_BYTES), "context": CUDA_CONTEXT_BYTES}
        high = high * 1.1 + CUBLAS_BYTES + 1.5 * CUDA_CONTEXT_BYTES
    if not shapes.known:
        basis += (
            f"; {shapes.family or 'this architecture'} is not known, so Llama's layers stand in and the range is wider"
        )
    shown = MappingProxyType({name: size for name, size in found.items() if size})
    value = sum(shown.values())
    return Estimate(value, value - live * spread, high, "bytes", basis, shown)
