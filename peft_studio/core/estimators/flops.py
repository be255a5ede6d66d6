"""Floating-point operations of training, from the shapes of a model: what a step computes, whatever computes it.

Per token that goes through the layers, with a frozen base (after "Physical limit" of the project's performance notes, and held against
torch's own counter in tests/unit/runner/trainer/test_flops.py):

    base        2N forward + 2N for the gradient of the input      no third 2N: frozen weights get no gradient
    adapter     6P                                                 forward, input and weights
    attention   2·S·Q a layer forward, 2.5 times that backward     causal; twice as much where the mask hides and does not skip
    head        4·V·H at every position whose logits are made      all in the reference loop, the trained ones in the fast one
    recompute   2N + 2P, and attention's forward once more         with gradient checkpointing

Legend: N weights of the layers that a token goes through (of experts only the active), P adapter parameters likewise, S tokens of a row,
Q = heads · head_dim, V vocabulary, H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

from peft_studio.core.models.shapes import Linear, ModelShapes

BACKWARD_OF_ATTENTION = (
    2.5  # five products where the forward pass has two (FlashAttention-2, arXiv 2307.08691, section 3.1)
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What goes through the model in a stretch of training, as its loop computes it.

    Attributes:
        computed: Positions that go through the layers, padding included where the loop pads.
        row: Mean length of the row that a position stands in, so weighted by length: Σ len² / Σ len.
        at_head: Positions whose logits are computed.
        causal_skip: Whether attention leaves out what lies in a position's future; a loop with a padding mask computes and hides it.
    """

    computed: float
    row: float
    at_head: float
    causal_skip: bool = True


def count_flops(
    shapes: ModelShapes, tokens: Tokens, *, rank: int, targets: str | tuple[str, ...], recompute: bool = False
) -> dict[str, float]:
    """Operations of forward and backward pass of training, by what they are for."""
    active, adapter = active_parameters(shapes), active_adapter_parameters(shapes, rank=rank, targets=targets)
    forward = _attention_forward(shapes, tokens)
    return {
        "base": 4.0 * active * tokens.computed,
        "adapter": 6.0 * adapter * tokens.computed,
        "attention": (1 + BACKWARD_OF_ATTENTION + recompute) * forward,
        "head": 4.0 * shapes.vocab * shapes.hidden * tokens.at_head,
        "recompute": 2.0 * (active + adapter) * tokens.computed if recompute else 0.0,
    }


def count_forward_flops(
    shapes: ModelShapes, tokens: Tokens, *, rank: int, targets: str | tuple[str, ...]
) -> dict[str, float]:
    """Operations of a forward pass alone: evaluation and the reading of a prompt."""
    active, adapter = active_parameters(shapes), active_adapter_parameters(shapes, rank=rank, targets=targets)
    return {
        "base": 2.0 * active * tokens.computed,
        "adapter": 2.0 * adapter * tokens.computed,
        "attention": _attention_forward(shapes, tokens),
        "head": 2.0 * shapes.vocab * shapes.hidden * tokens.at_head,
    }


def active_parameters(shapes: ModelShapes) -> int:
    """Weights of the layers that one token is multiplied with; embeddings and head left out."""
    dense = shapes.layers * sum(_weights(linear) for linear in shapes.linears)
    if shapes.experts is None:
        return dense
    experts = shapes.experts
    one = 3 * shapes.hidden * experts.width
    return dense + shapes.sparse_layers * (experts.active * one + experts.count * shapes.hidden)


def active_adapter_parameters(shapes: ModelShapes, *, rank: int, targets: str | tuple[str, ...]) -> int:
    """Adapter weights that one token is multiplied with."""
    dense = shapes.layers * sum(rank * (one.inputs + one.outputs) for one in shapes.targets(targets))
    experts = shapes.experts
    if experts is None or not experts.adaptable or targets != "all-linear":
        return dense
    whole = shapes.sparse_layers * experts.adapter_parameters(shapes.hidden, rank)
    router = shapes.sparse_layers * rank * (shapes.hidden + experts.count)
    return dense + router + round((whole - router) * experts.active / experts.count)


def _attention_forward(shapes: ModelShapes, tokens: Tokens) -> float:
    wide = shapes.heads * shapes.head_dim
    return (2.0 if tokens.causal_skip else 4.0) * tokens.row * wide * shapes.layers * tokens.computed


def _weights(linear: Linear) -> int:
    return linear.inputs * linear.outputs
