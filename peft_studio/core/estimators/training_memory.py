"""Bytes of live tensors at the peak of a training run, in closed form: from config.json and the spec alone, in microseconds.

A step has moments at which memory can be highest: the loss, the backward pass of the last layer and of the first, the optimizer, and an
evaluation batch. Each is added up, and the largest is the answer. Held against counted bytes in benchmarks/memory.py. Knows nothing of
allocators, contexts and other devices.
"""

from __future__ import annotations

import math

from peft_studio.core.estimators.layer_memory import (
    adapts_experts,
    count_cast_bytes,
    count_layer_bytes,
    count_unkept_first_bytes,
    mlp_width,
)
from peft_studio.core.estimators.step_shape import FP32, StepShape
from peft_studio.core.models.shapes import ModelShapes

ADAM_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2}  # two moments of a byte each; otherwise two of fp32
FAST_CHUNK_BYTES = 16 << 20
# Bytes of a weight, and of the constants that undo its quantisation. nf4's are quantised too: a byte for 64 weights and an fp32 number
# for 256 of those (arXiv 2305.14314, section 3); fp4 has an fp32 number for 64 weights; int8 one for an output, which is next to nothing.
QUANTISED = {"nf4": (0.5, 1 / 64 + 4 / (64 * 256)), "int4": (0.5, 4 / 64), "int8": (1.0, 0.0)}

Parts = dict[str, float]


def count_training_bytes(shapes: ModelShapes, step: StepShape) -> Parts:
    """Bytes of live tensors at the peak, by what they are for. Values add up to the peak."""
    static = count_static_bytes(shapes, step)
    moments = (_at_loss, _in_last_layer, _in_first_layer, _at_optimizer, _at_evaluation)
    return static | max((moment(shapes, step) for moment in moments), key=lambda parts: sum(parts.values()))


def count_static_bytes(shapes: ModelShapes, step: StepShape) -> Parts:
    """What is there all the time, from the second step on."""
    adapter = count_trained(shapes, step)
    # Before k-bit training peft takes everything that was not quantised to fp32.
    weights = count_weight_bytes(shapes, step, rest=FP32 if step.quantization else step.compute)
    return {**weights, "adapters": adapter * FP32, "optimizer": adapter * ADAM_BYTES.get(step.optimizer, 2 * FP32)}


def count_weight_bytes(shapes: ModelShapes, step: StepShape, *, rest: int) -> Parts:
    """The base model; ``rest`` is the width of what bitsandbytes leaves alone: all that is not a linear layer inside a layer."""
    quantised = shapes.layers * sum(one.inputs * one.outputs for one in shapes.linears) if step.quantization else 0
    bits, constants = QUANTISED.get(step.quantization or "", (0.0, 0.0))
    found = {"weights": quantised * bits + (shapes.parameters - quantised) * rest}
    return found | ({"quantisation constants": quantised * constants} if quantised else {})


def count_trained(shapes: ModelShapes, step: StepShape) -> int:
    """Trained parameters; DoRA adds a magnitude for every output."""
    adapter = shapes.adapter_parameters(step.rank, step.targets)
    return adapter + (shapes.layers * sum(one.outputs for one in shapes.targets(step.targets)) if step.dora else 0)


def _at_loss(shapes: ModelShapes, step: StepShape) -> Parts:
    kept = _stored_bytes(shapes, step) + _last_norm_bytes(shapes, step)
    return {
        "gradients": _gradients(shapes, step, 1.0 if step.accumulates else 0.0),
        "activations": kept,
        "logits": _logits_bytes(shapes, step),
        "workspace": _head_cast_bytes(shapes, step),
    }


def _in_last_layer(shapes: ModelShapes, step: StepShape) -> Parts:
    layer = count_layer_bytes(shapes, step) if step.checkpointing else 0.0
    return {
        "gradients": _gradients(shapes, step, 1.0 if step.accumulates else 1 / shapes.layers),
        "activations": _stored_bytes(shapes, step) + layer + _passing_bytes(shapes, step),
        "workspace": _workspace_bytes(shapes, step),
    }


def _in_first_layer(shapes: ModelShapes, step: StepShape) -> Parts:
    layer = count_layer_bytes(shapes, step)
    return {
        "gradients": _gradients(shapes, step, 1.0),
        "activations": layer + _passing_bytes(shapes, step),
        "workspace": _workspace_bytes(shapes, step),
    }


def _at_optimizer(shapes: ModelShapes, step: StepShape) -> Parts:
    # On a GPU all tensors are updated together, so the root of the second moment exists for all of them.
    together = count_trained(shapes, step) * FP32 if step.on_gpu and step.optimizer == "adamw_torch" else 0
    return {"gradients": _gradients(shapes, step, 1.0), "workspace": together}


def _at_evaluation(shapes: ModelShapes, step: StepShape) -> Parts:
    """No layer keeps anything, but Liger makes all logits, and there is a softmax of them."""
    if step.fast:
        return {"logits": _logits_bytes(shapes, step)}
    return {
        "activations": step.tokens * 2 * shapes.hidden * step.stream,
        "logits": step.tokens * shapes.vocab * (2 * FP32 + (step.compute if step.casts else 0)),
        "workspace": _head_cast_bytes(shapes, step),
    }


def _gradients(shapes: ModelShapes, step: StepShape, share: float) -> float:
    return count_trained(shapes, step) * FP32 * share


def _stored_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """What all layers keep until the backward pass reaches them."""
    if step.checkpointing:  # the inputs of the layers; autocast's copies live as long as the forward pass
        return shapes.layers * step.tokens * shapes.hidden * step.stream
    return shapes.layers * count_layer_bytes(shapes, step) - count_unkept_first_bytes(shapes, step)


def _last_norm_bytes(shapes: ModelShapes, step: StepShape) -> float:
    casts = count_cast_bytes(shapes, step) if step.checkpointing else 0.0
    return step.tokens * (shapes.hidden * FP32 + FP32) + casts


def _logits_bytes(shapes: ModelShapes, step: StepShape) -> float:
    numbers = step.tokens * shapes.vocab
    hidden = step.tokens * 2 * shapes.hidden * step.stream  # the trained positions and their gradient
    if step.fast:
        if numbers * FP32 <= FAST_CHUNK_BYTES:  # logits and softmax, and the latter once more in 16 bits
            return hidden + numbers * (2 * FP32 + (step.compute if step.casts else 0))
        return hidden + FAST_CHUNK_BYTES * (3.5 if step.casts else 3)  # the last chunk's are there still
    if (
        step.chunked_loss
    ):  # Liger: so many chunks that one is about as large as the hidden states, its loss and gradient in place
        rows = 2.0 ** math.ceil(math.log2(max(1.0, step.tokens / math.ceil(shapes.vocab / shapes.hidden))))
        return min(numbers, rows * shapes.vocab) * step.compute + hidden
    # Backward: the log-softmax, the gradient of the loss and that of the logits, each in fp32. Gemma 2's cap keeps its tanh.
    return numbers * (3 * FP32 + (step.compute if shapes.family == "gemma2" else 0))


def _head_cast_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """Autocast's 16-bit copy of an output layer that k-bit training has taken to fp32."""
    return shapes.vocab * shapes.hidden * step.compute if step.quantization and step.casts else 0.0


def _passing_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """The widest gradients that are alive together inside a layer's backward pass."""
    width = max(mlp_width(shapes), shapes.experts.active * 2 * shapes.experts.width if shapes.experts else 0)
    return step.tokens * 3 * width * step.stream


def _workspace_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """Whole weights that exist for a moment: dequantised, or added up for DoRA's norm, or the gradient of merged experts."""
    largest = max(one.inputs * one.outputs for one in shapes.linears)
    if experts := adapts_experts(shapes, step):
        return 2.0 * experts.count * 2 * shapes.hidden * experts.width * step.stream
    if step.dora:
        return 3.0 * largest * FP32
    if not step.quantization:
        return 0.0
    return largest * (FP32 + (step.compute if step.casts else 0))
