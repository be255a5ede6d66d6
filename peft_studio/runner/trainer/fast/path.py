"""Installing the fast path on a model, and the forward pass that runs it.

Owns the order of things in a step (embed, layers, norm, loss at trained positions). The model is changed only by instance
attributes named ``forward``, which :meth:`FastPath.uninstall` removes; parameters are never touched, so checkpoints, the
optimiser and saving do not notice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from peft_studio.runner.trainer.fast.attention import Segments
from peft_studio.runner.trainer.fast.layers import patch_layers, unpatch
from peft_studio.runner.trainer.fast.loss import trained_loss

_FLAT = ("segment_lengths", "shared_prefix", "trained_positions", "shift_labels")


class FastPath:
    """A model on which the fast path is installed.

    Calling the model with a batch of :class:`FlatCollator` returns an output whose ``loss`` is the training loss (and that has
    no logits); with anything else the model answers as before. So ``transformers.Trainer.compute_loss``, its evaluation, DDP
    and accelerate need not know.
    """

    def __init__(self, model: nn.Module, touched: list[nn.Module]) -> None:
        self._model = model
        self._touched = touched

    def loss(
        self, batch: dict[str, torch.Tensor], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Training loss of one flat micro-batch, a scalar with a graph.

        Args:
            batch: What :class:`FlatCollator` made.
            num_items_in_batch: Trained tokens of the accumulation window, as Trainer passes it; None: mean over this batch.
        """
        return self._model(**batch, num_items_in_batch=num_items_in_batch).loss

    def uninstall(self) -> None:
        """Give the model its own forward back. Safe to call twice."""
        unpatch(self._touched)
        self._touched = []


def install(model: nn.Module) -> FastPath:
    """Install the fast path on a peft model that :func:`unsupported` found nothing against.

    Raises:
        RuntimeError: The path is already installed on it.
    """
    causal = model.get_base_model()
    if "forward" in causal.__dict__:
        raise RuntimeError("The fast path is already installed on this model, or something else covers its forward.")
    touched = patch_layers(causal)
    causal.forward = functools.partial(_forward, causal, causal.forward)
    return FastPath(model, [*touched, causal])


def _forward(causal: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The causal model's forward: flat batches here, all others to the model's own."""
    if "segment_lengths" not in kwargs:
        return original(*args, **kwargs)
    batch = {name: kwargs[name] for name in _FLAT}
    segments = Segments(int(batch["shared_prefix"]), batch["segment_lengths"].tolist())
    hidden = _hidden_states(causal.model, kwargs["input_ids"], kwargs["position_ids"], segments)
    return CausalLMOutputWithPast(
        loss=trained_loss(hidden, causal.lm_head.weight, batch, kwargs.get("num_items_in_batch"))
    )


def _hidden_states(inner: Any, input_ids: torch.Tensor, position_ids: torch.Tensor, segments: Segments) -> torch.Tensor:
    """(1, T) → (1, T, D). The layers are called as modules, so gradient checkpointing and hooks apply."""
    hidden = inner.embed_tokens(input_ids)
    rotary = inner.rotary_emb(hidden, position_ids=position_ids)
    for layer in inner.layers[: inner.config.num_hidden_layers]:
        hidden = layer(
            hidden,
            attention_mask=None,
            position_ids=position_ids,
            past_key_values=None,
            use_cache=False,
            position_embeddings=rotary,
            segments=segments,
        )
    return inner.norm(hidden)
