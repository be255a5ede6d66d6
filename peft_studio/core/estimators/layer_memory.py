"""Bytes that one decoder layer keeps for its backward pass, read off what autograd saves, module by module.

Each line below is a tensor that torch 2.13, transformers 5.23 and peft 0.21 save (``torch.autograd.graph.saved_tensors_hooks``); frozen
weights save nothing for themselves, so what a base layer reads is kept only where an adapter reads it too.

Legend: H hidden, Q = heads · head_dim, K = kv_heads · head_dim, F width of the MLP, S length of a row, r rank, I and O of a linear
layer, E width of an expert, A experts a token goes through.
"""

from __future__ import annotations

from peft_studio.core.estimators.step_shape import FP32, StepShape
from peft_studio.core.models.shapes import Experts, Linear, ModelShapes

_LAYER_NORMS = {"gpt2": 2, "opt": 2, "gpt_neox": 1, "phi": 1}  # distinct inputs; the others have RMS norms
_FOUR_NORMS = {"gemma2", "gemma3_text"}
_HEAD_NORMS = {"gemma3_text", "qwen3", "qwen3_moe"}
_PARTIAL_ROTARY = {
    "phi",
    "phi3",
    "gpt_neox",
}  # joined halves lie differently, so the output is copied for the next layer
_MATH_ATTENTION = {"gpt2", "gemma2"}  # dropout on a CPU, soft-capping: the S × S products exist
_DROPS_RESIDUAL = {"gpt2", "opt"}  # 0.1 in the published models
_FUSED_QKV = {"gpt_neox", "phi3", "gpt2"}
_BEFORE_ATTENTION = {"q_proj", "k_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value"}
_BEFORE_MLP = {"gate_proj", "up_proj", "gate_up_proj", "fc1", "c_fc", "dense_h_to_4h", "shared_expert_gate"}


def count_layer_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """What one layer keeps."""
    a_token = (
        _norms(shapes, step) + _attention(shapes, step) + _mlp(shapes, step) + _adapters(shapes, step) + _experts(shapes, step)
    )  # fmt: skip
    return step.tokens * a_token + count_cast_bytes(shapes, step) / shapes.layers + _merged_bytes(shapes, step)


def count_unkept_first_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """What the first layer does without: its input comes from a frozen embedding and needs no gradient."""
    a_token = shapes.hidden * (_norm_width(shapes, step)) + FP32
    if step.dropout and not step.fused:
        readers = [one for one in shapes.targets(step.targets) if one.name in _BEFORE_ATTENTION]
        a_token += sum(one.inputs for one in readers) * _mask_width(step)
    return step.tokens * a_token


def count_cast_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """Autocast's 16-bit copies of A and B, kept as long as its context."""
    return shapes.adapter_parameters(step.rank, step.targets) * step.compute if step.casts and not step.fused else 0.0


def mlp_width(shapes: ModelShapes) -> int:
    """F: of the dense MLP, or of the expert that all tokens share."""
    if not shapes.experts:
        return shapes.intermediate
    return next((one.outputs for one in shapes.linears if one.name == "gate_proj"), 0)


def adapts_experts(shapes: ModelShapes, step: StepShape) -> Experts | None:
    """The experts, where peft puts LoRA on them."""
    experts = shapes.experts
    return experts if experts and experts.adaptable and step.targets == "all-linear" else None


def _norm_width(shapes: ModelShapes, step: StepShape) -> int:
    """An RMS norm keeps its input in fp32; a LayerNorm as it is, except under CUDA's autocast."""
    plain = shapes.family in _LAYER_NORMS and not (step.on_gpu and step.casts)
    return step.stream if plain else FP32


def _norms(shapes: ModelShapes, step: StepShape) -> float:
    count = _LAYER_NORMS.get(shapes.family, 4 if shapes.family in _FOUR_NORMS else 2)
    kept = count * (shapes.hidden * _norm_width(shapes, step) + 2 * FP32)
    if shapes.family in _HEAD_NORMS:
        kept += (shapes.heads + shapes.kv_heads) * (shapes.head_dim + 1) * FP32
    if shapes.family in _DROPS_RESIDUAL:
        kept += 2 * shapes.hidden * (1 if step.on_gpu else step.stream)  # masks
    return kept


def _attention(shapes: ModelShapes, step: StepShape) -> float:
    """Without the copy that the output layer's adapter reads, which :func:`_adapters` counts."""
    width = step.compute
    q, k = shapes.heads * shapes.head_dim, shapes.kv_heads * shapes.head_dim
    squares = shapes.heads * step.row_tokens
    if shapes.family == "gemma2":  # tanh, softmax in fp32 and its 16-bit copy
        return 3 * q * width + squares * (width + FP32 + (width if step.casts else 0))
    if shapes.family == "gpt2" and not step.on_gpu:
        return 3 * q * FP32 + 3 * squares * FP32  # softmax, what dropout left of it, the mask
    spread = q if step.masked or step.fast else k  # a mask makes transformers repeat keys and values
    values = q + 2 * k if shapes.family in _FUSED_QKV and spread == k else spread  # a view keeps all of q, k and v
    kept = (q + spread) * width + values * width + q * width + shapes.heads * FP32
    return kept + (step.row_tokens * width if step.masked else 0)  # the mask, once a layer, as numbers


def _mlp(shapes: ModelShapes, step: StepShape) -> float:
    """What activation and gate keep; the product is the next layer's input and counted there."""
    times = {"gpt2": 4, "phi": 4, "gpt_neox": 1, "opt": 1}.get(shapes.family, 3)
    if shapes.family == "opt" and _shares_inputs(step):
        return 0.0  # what ReLU gives is what the next layer reads
    return times * mlp_width(shapes) * step.stream


def _adapters(shapes: ModelShapes, step: StepShape) -> float:
    targets = shapes.targets(step.targets)
    kept: float = len(targets) * step.rank * step.compute
    if step.dora:
        kept += sum(2 * one.outputs for one in targets) * step.compute
    if _shares_inputs(step):
        kept += sum(_read_by(shapes, step, targets)) * step.stream
        return kept + (sum(one.inputs for one in targets) if step.dropout else 0)  # our masks are of a byte
    inputs = sum(one.inputs for one in targets)
    return kept + inputs * (step.compute + (_mask_width(step) if step.dropout else 0))


def _shares_inputs(step: StepShape) -> bool:
    """Whether adapters that read the same tensor keep it once: not where each makes a cast or a dropped copy of its own."""
    return step.fused or not (step.casts or step.dropout)


def _mask_width(step: StepShape) -> int:
    return 1 if step.on_gpu or step.fused else FP32  # a CPU draws its mask in fp32


def _read_by(shapes: ModelShapes, step: StepShape, targets: tuple[Linear, ...]) -> list[int]:
    """Widths of the distinct tensors that adapters read."""
    groups: dict[str, int] = {}
    for one in targets:
        if one.name in _BEFORE_ATTENTION or (one.name in _BEFORE_MLP and shapes.family == "phi"):
            groups["norm"] = one.inputs
        elif one.name in _BEFORE_MLP:
            groups["second norm"] = one.inputs
        elif one.inputs == mlp_width(shapes):
            groups["product"] = one.inputs
        elif step.fast or shapes.family in _PARTIAL_ROTARY | _MATH_ATTENTION:
            groups["mixed"] = one.inputs  # elsewhere attention keeps this very tensor
    return list(groups.values())


def _experts(shapes: ModelShapes, step: StepShape) -> float:
    experts = shapes.experts
    if experts is None:
        return 0.0
    a, h, e = experts.active, shapes.hidden, experts.width
    kept = a * (3 * e + h)  # gate and up, the activation, what comes out
    if adapts_experts(shapes, step):
        kept += a * (h + e) + h  # what goes in, the product; what the router reads
    else:
        kept += h if mlp_width(shapes) else 0  # the shared expert's answer, which its gate multiplies
    return kept * step.stream + 2 * experts.count * FP32


def _merged_bytes(shapes: ModelShapes, step: StepShape) -> float:
    """peft adds the product of A and B to fused experts before they are used, and the sum is kept."""
    experts = adapts_experts(shapes, step)
    return experts.count * 3 * shapes.hidden * experts.width * step.stream if experts else 0.0
