"""The measured condition for using the fast path: same loss and same gradients as the reference loop, on the run's own rows.

Runs both once, on the model as it is, and leaves model, gradients, mode and random state as it found them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from peft_studio.runner.trainer.fast.path import install
from peft_studio.runner.trainer.fast.rows import IGNORED, FlatCollator


class Distance(NamedTuple):
    """How far two computations of one micro-batch are apart, or may be.

    ``loss`` is |a - b| / max(1, |a|), ``gradient`` ‖a - b‖ / ‖a‖ of all trained tensors as one vector, ``tensor`` the largest of a single one.
    """

    loss: float
    gradient: float
    tensor: float


# By dtype of the base model. fp32: what reordering sums can do. bf16: rounding. On SmolLM2-135M each loop is 0.06 from fp32 in the
# whole gradient and 0.14 to 0.17 in its worst tensor, and the two are as far from each other; rows that see each other are off by
# 0.40 in loss and 0.74 in gradient, and a layer that computes something else is off by about 1 in its own tensors.
TOLERANCES = {torch.float32: Distance(1e-5, 1e-3, 1e-3), torch.bfloat16: Distance(3e-2, 1e-1, 3e-1)}


@dataclass(frozen=True)
class Difference:
    """How far the two loops are apart on one micro-batch, and how far they may be."""

    found: Distance
    allowed: Distance

    @property
    def within(self) -> bool:
        """Whether the fast path may be used. NaN is not."""
        return all(found <= allowed for found, allowed in zip(self.found, self.allowed, strict=True))

    def __str__(self) -> str:
        verdict = "equal to" if self.within else "NOT equal to"
        words = zip(("loss differs", "the gradient", "one tensor's"), self.found, self.allowed, strict=True)
        parts = (f"{what} by {found:.1e} (allowed {allowed:.0e})" for what, found, allowed in words)
        return f"fast loop {verdict} the reference loop: {', '.join(parts)}"


def compare(
    model: Any,
    rows: Sequence[dict[str, Any]],
    *,
    tolerance: Distance | None = None,
    share_prefix: bool = False,
) -> Difference:
    """Run one padded micro-batch by the reference and the same rows by the fast path, and compare.

    Dropout is off on both sides, since the two draw other noise. Adapters whose B is still zero get small numbers for the time
    of the comparison: with B = 0 the gradient of A is zero and half of the path would go unseen.

    Args:
        model: A peft model that :func:`unsupported` found nothing against, path not installed.
        rows: At least one row, better a whole micro-batch of unequal lengths.
        tolerance: What is allowed; None takes that of the base model's dtype.
        share_prefix: As the run's :class:`FlatCollator` has it.

    Returns:
        The difference; ask ``within``.
    """
    limits = tolerance or TOLERANCES[model.get_base_model().lm_head.weight.dtype]
    with _undisturbed(model), _stirred(model):
        reference = _measure(model, _pad(rows))
        path = install(model)
        try:
            fast = _measure(model, FlatCollator(share_prefix=share_prefix)(rows))
        finally:
            path.uninstall()
    loss = abs(reference[0] - fast[0]) / max(1.0, abs(reference[0]))
    norms = [(a.norm().item(), (a - b).norm().item()) for a, b in zip(reference[1], fast[1], strict=True)]
    whole = math.hypot(*(size for size, _ in norms)), math.hypot(*(apart for _, apart in norms))
    return Difference(Distance(loss, _relative(*whole), max(_relative(*one) for one in norms)), limits)


def _relative(size: float, apart: float) -> float:
    return apart / size if size else apart


def _pad(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([[*row[name], *[fill] * (width - len(row[name]))] for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows])
    return {"input_ids": padded("input_ids", 0), "labels": padded("labels", IGNORED), "attention_mask": mask}


def _measure(model: Any, batch: dict[str, torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
    """Loss and the gradients of the trained parameters, which are left without."""
    bf16 = model.get_base_model().lm_head.weight.dtype is torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        loss = model(**batch, use_cache=False).loss
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    return loss.item(), [torch.zeros_like(p) if g is None else g for p, g in zip(trained, gradients, strict=True)]


@contextlib.contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and the random state put back after."""
    training = {module: module.training for module in model.modules()}
    state = torch.get_rng_state()
    model.eval()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        for module, mode in training.items():
            module.training = mode


@contextlib.contextmanager
def _stirred(model: nn.Module) -> Iterator[None]:
    """Put small numbers into every B that is all zero, and zero back after."""
    zero = [p for name, p in model.named_parameters() if ".lora_B." in name and not p.any()]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in zero:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter in zero:
                parameter.zero_()
