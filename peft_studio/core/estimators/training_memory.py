"""Bytes of live tensors at the peak of a training step, in closed form: from config.json and the spec alone, in microseconds.

Follows what each loop keeps for its backward pass, tensor by tensor. Held against counted bytes in benchmarks/memory: within 3 % for
models with gated MLPs (Llama, Mistral, Qwen, SmolLM) in fp32. Without checkpointing it is up to 20 % low for GPT-2, whose activation and
dropout keep more, and up to 14 % low in bf16, whose casts are not counted yet. Knows nothing of allocators and devices.

Legend: T tokens of a micro-batch, H hidden, Q = heads · head_dim, K = kv_heads · head_dim, F MLP width, V vocabulary, r rank, P adapter parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from peft_studio.core.models.shapes import ModelShapes

WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2}
FP32 = 4
ADAM_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2}  # two moments of a byte each; otherwise two of fp32
NF4_BYTES = 0.5 + 4 / 64  # half a byte, and an fp32 constant for 64 weights
NF4_DOUBLE_BYTES = (
    0.5 + 1 / 64 + 4 / (64 * 256)
)  # constants quantised too, in groups of 256 (arXiv 2305.14314, section 3)
INT8_BYTES = 1.0
FAST_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class StepShape:
    """What of a spec decides the memory of a step. ``fast``: our own loop; ``tokens`` of a micro-batch, padding included."""

    tokens: int
    rank: int
    targets: str | tuple[str, ...]
    precision: str
    quantization: str | None = None
    dora: bool = False
    dropout: float = 0.0
    checkpointing: bool = False
    fast: bool = False
    optimizer: str = "adamw_torch"


def count_training_bytes(shapes: ModelShapes, step: StepShape) -> dict[str, float]:
    """Bytes of live tensors at the peak of a step, by what they are for."""
    adapter = shapes.adapter_parameters(step.rank, step.targets)
    if step.dora:  # a magnitude for every output
        adapter += shapes.layers * sum(one.outputs for one in shapes.targets(step.targets))
    parts = {
        "weights": _weight_bytes(shapes, step),
        "adapter": adapter * FP32,
        "optimizer": adapter * ADAM_BYTES.get(step.optimizer, 2 * FP32),
    }
    stored, layer = _stored_bytes(shapes, step), _layer_bytes(shapes, step)
    head = _head_bytes(shapes, step)
    at_head = head
    in_backward = (
        adapter * FP32 / max(1, shapes.layers) + (layer if step.checkpointing else 0) + _transient_bytes(shapes, step)
    )
    parts["activations"] = stored
    parts["logits"] = at_head if at_head >= in_backward else 0.0
    parts["recomputed"] = in_backward if in_backward > at_head else 0.0
    return parts


def _weight_bytes(shapes: ModelShapes, step: StepShape) -> float:
    width = WIDTH[step.precision]
    quantised = shapes.layers * sum(one.inputs * one.outputs for one in shapes.linears) if step.quantization else 0
    per_weight = {None: 0.0, "int8": INT8_BYTES, "int4": NF4_BYTES, "nf4": NF4_DOUBLE_BYTES}[step.quantization]
    # Before k-bit training peft takes everything that was not quantised to fp32.
    rest = (shapes.parameters - quantised) * (FP32 if step.quantization else width)
    return quantised * per_weight + rest


def _stored_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """What all layers keep until the backward pass reaches them."""
    if step.checkpointing:
        return shapes.layers * step.tokens * shapes.hidden * WIDTH[step.precision]
    return shapes.layers * _layer_bytes(shapes, step)


def _layer_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """What one decoder layer keeps for its backward pass."""
    width = WIDTH[step.precision]
    h, q, f = shapes.hidden, shapes.heads * shapes.head_dim, shapes.intermediate
    norms = 2 * (h + h)  # two inputs and two outputs
    attention = (
        5 * q
    )  # query, keys and values spread over all heads, what comes out, and the same laid out for the next layer
    mlp = 4 * f  # gate, its activation, up, their product
    kept = (norms + attention + mlp) * width
    kept += shapes.heads * FP32  # log-sum-exp
    return step.tokens * (kept + _adapter_kept(shapes, step))


def _adapter_kept(shapes: ModelShapes, step: StepShape) -> float:
    """Bytes a token that the adapters of a layer keep."""
    targets = shapes.targets(step.targets)
    kept: float = len(targets) * step.rank * FP32
    if step.dropout:
        kept += sum(one.inputs for one in targets) * (
            1 if step.fast else 1 + FP32
        )  # mask; the reference loop keeps the result too
    if step.dora:
        kept += sum(2 * one.outputs for one in targets) * FP32
    return kept


def _head_bytes(shapes: ModelShapes, step: StepShape) -> float:
    width = WIDTH[step.precision]
    last_norm = 2 * step.tokens * shapes.hidden * width
    if step.fast:
        logits = step.tokens * shapes.vocab * FP32
        chunks = 2 * logits if logits <= FAST_CHUNK_BYTES else 3 * FAST_CHUNK_BYTES  # the last chunk's are there still
        return last_norm + chunks + 2 * step.tokens * shapes.hidden * width
    copies = 4 * FP32 if width == FP32 else 3 * FP32 + width
    return last_norm + copies * step.tokens * shapes.vocab


def _transient_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """The widest gradients that are alive together inside a layer's backward pass."""
    return step.tokens * 3 * shapes.intermediate * WIDTH[step.precision]
