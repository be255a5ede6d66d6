"""The last linear layer and cross-entropy as one step, only where something is trained, never holding all logits.

Knows nothing of rows: it is given hidden states of the trained positions and their targets.

Legend: M trained positions, D hidden size, V vocabulary, C positions handled at once.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK_BYTES = (
    16 << 20
)  # of fp32 logits at once: stays within the last-level cache of a desktop CPU, and off the peak memory


class LinearCrossEntropy(torch.autograd.Function):
    """Sum of cross-entropies of ``hidden @ weight.T`` against ``targets``, divided by ``count``.

    The gradient of ``hidden`` is computed along with the loss, chunk by chunk, so the (M, V) logits never exist and nothing
    is computed twice. The weight is frozen. Logits are rounded to the weight's dtype and then taken to fp32, as transformers
    does.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, count: float
    ) -> torch.Tensor:
        """``hidden`` (M, D), ``weight`` (V, D), ``targets`` (M,) → fp32 scalar."""
        rows = max(1, CHUNK_BYTES // (4 * weight.shape[0]))
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            logits = torch.mm(hidden[part], weight.t()).float()  # (C, V)
            target = targets[part, None]
            wanted = logits.gather(1, target)
            highest, at = logits.max(dim=1, keepdim=True)
            chances = torch.softmax(logits, dim=1)
            # log Σ exp, read off the likeliest token, whose chance cannot underflow: it is at least 1/V.
            normaliser = highest - chances.gather(1, at).log()
            total += (normaliser - wanted).sum()
            if gradient is not None:
                chances.scatter_add_(1, target, torch.full_like(wanted, -1.0))
                chances.mul_(1.0 / count)
                torch.mm(chances.to(weight.dtype), weight, out=gradient[part])
        ctx.gradient = gradient
        return total / count

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        """Scale the gradient that ``forward`` left."""
        gradient, ctx.gradient = ctx.gradient, None
        return (gradient.mul_(grad_output.to(gradient.dtype)) if gradient is not None else None), None, None, None


def trained_loss(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    batch: dict[str, torch.Tensor],
    num_items_in_batch: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """Cross-entropy of a flat row at its trained positions, as Trainer normalises it.

    Args:
        hidden: (1, T, D), after the last norm.
        weight: (V, D) of the frozen output layer.
        batch: What ``FlatCollator`` made.
        num_items_in_batch: Trained tokens of the whole accumulation window; None takes the mean of this micro-batch.
    """
    positions, targets = batch["trained_positions"].view(-1), batch["shift_labels"].view(-1)
    if not positions.numel():
        return hidden.sum() * 0.0  # nothing to learn here, but the graph is whole, so accumulation and DDP go on
    count = positions.numel() if num_items_in_batch is None else num_items_in_batch
    chosen = hidden.view(-1, hidden.shape[-1]).index_select(0, positions)
    return LinearCrossEntropy.apply(chosen, weight, targets, float(count))
