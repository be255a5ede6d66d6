"""LoRA layers that share an input, as one autograd function.

peft runs base layer, cast, A, B, scale and add as separate steps, each of which reads and writes a whole activation and leaves
tensors behind for the backward pass. Here one function does them for all layers that read the same activation (q, k and v;
gate and up), adds each product in place, and keeps only the input and the rank-wide middle. The base weight is frozen, so it
gets no gradient. Products run in the base weight's dtype; A and B stay fp32 masters as peft keeps them.

Legend: T tokens, I input and O output features, r rank, s scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import layer as peft_layer
from torch import nn


class Member(NamedTuple):
    """What does not change from step to step in one LoRA layer: W (O, I), b (O,) or None, s."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    dropout: float


class _LoraGroup(torch.autograd.Function):
    """``y_i = x W_iᵀ + b_i + s_i · drop_i(x) A_iᵀ B_iᵀ`` for every member, from one x."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, members: Sequence[Member], *factors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """``x`` (…, I); ``factors`` A_1 (r, I), B_1 (O_1, r), A_2, … → one (…, O_i) a member."""
        flat = x.reshape(-1, x.shape[-1])
        dtype = flat.dtype
        downs = [a.to(dtype) for a in factors[0::2]]
        masks = [_keep_mask(flat, member.dropout) for member in members]
        middles = _down(flat, downs, masks, members)
        outputs = []
        for member, middle, up in zip(members, middles, factors[1::2], strict=True):
            y = (
                torch.mm(flat, member.weight.t())
                if member.bias is None
                else torch.addmm(member.bias, flat, member.weight.t())
            )
            outputs.append(y.addmm_(middle, up.to(dtype).t(), alpha=member.scale).view(*x.shape[:-1], -1))
        ctx.members = members
        # Saved, not kept on ctx: only so does gradient checkpointing drop the masks, and the backward pass free them.
        ctx.save_for_backward(flat, *middles, *factors, *(mask for mask in masks if mask is not None))
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of x and of every A and B; none for W and b."""
        members: Sequence[Member] = ctx.members
        flat, *saved = ctx.saved_tensors
        middles, factors = saved[: len(members)], saved[len(members) : 3 * len(members)]
        drawn = iter(saved[3 * len(members) :])
        masks = [next(drawn) if member.dropout else None for member in members]
        grads = [g.reshape(-1, g.shape[-1]) for g in grad_outputs]
        wanted = ctx.needs_input_grad[0]
        dx: torch.Tensor | None = None
        factor_grads: list[torch.Tensor | None] = []
        for at, (member, dy, mask) in enumerate(zip(members, grads, masks, strict=True)):
            a, b = factors[2 * at].to(flat.dtype), factors[2 * at + 1].to(flat.dtype)
            # (r, O) made contiguous first: a thin product is twice as fast in this layout on a CPU.
            dmiddle = nn.functional.linear(dy, b.t().contiguous()).mul_(member.scale)  # (T, r)
            seen = flat if mask is None else _dropped(flat, mask, member.dropout)
            factor_grads.append(torch.mm(dmiddle.t(), seen).to(factors[2 * at].dtype))
            factor_grads.append(torch.mm(middles[at].t(), dy).mul_(member.scale).t().to(factors[2 * at + 1].dtype))
            if wanted:
                dx = torch.mm(dy, member.weight) if dx is None else dx.addmm_(dy, member.weight)
                if mask is None:
                    dx.addmm_(dmiddle, a)
                else:
                    dx.add_(_dropped(torch.mm(dmiddle, a), mask, member.dropout))
        return (dx.view(*grad_outputs[0].shape[:-1], -1) if dx is not None else None), None, *factor_grads


def _keep_mask(flat: torch.Tensor, p: float) -> torch.Tensor | None:
    """Which inputs dropout keeps. Drawn as ``nn.Dropout`` draws on a CPU, from the generator that checkpoints save."""
    if not p:
        return None
    return torch.empty(flat.shape, dtype=torch.float32, device=flat.device).bernoulli_(1 - p).bool()


def _dropped(values: torch.Tensor, mask: torch.Tensor, p: float) -> torch.Tensor:
    return (values * mask).mul_(1 / (1 - p))


def _down(
    flat: torch.Tensor, downs: list[torch.Tensor], masks: list[torch.Tensor | None], members: Sequence[Member]
) -> list[torch.Tensor]:
    """``drop(x) Aᵀ`` (T, r) of every member; without dropout in one product, since the input is then the same."""
    if len(downs) > 1 and not any(member.dropout for member in members):
        together = nn.functional.linear(flat, torch.cat(downs))
        return list(together.split([down.shape[0] for down in downs], dim=1))
    return [
        nn.functional.linear(flat if mask is None else _dropped(flat, mask, member.dropout), down)
        for down, mask, member in zip(downs, masks, members, strict=True)
    ]


def is_plain(module: nn.Module) -> bool:
    """Whether this is a LoRA layer that :func:`apply_group` can stand for: one frozen ``nn.Linear``, one adapter, no variant."""
    if type(module) is not peft_layer.Linear or type(module.get_base_layer()) is not nn.Linear:
        return False
    names = list(module.lora_A.keys())
    base = module.get_base_layer()
    return (
        len(names) == 1
        and names[0] not in module.lora_variant
        and not module.lora_bias[names[0]]
        and not module.fan_in_fan_out
        and not any(parameter.requires_grad for parameter in base.parameters())
        and type(module.lora_dropout[names[0]]) in (nn.Identity, nn.Dropout)
    )


def _usable(module: Any) -> bool:
    """Whether the adapter counts at this moment: ``disable_adapter()``, merging and switching adapters are peft's business."""
    return not module.disable_adapters and not module.merged_adapters and module.active_adapters == list(module.lora_A)


def apply_group(modules: Sequence[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Run the LoRA layers ``modules`` on one input, together where possible and by their own forward where not."""
    if (
        not all(is_plain(module) and _usable(module) for module in modules)
        or x.dtype != modules[0].get_base_layer().weight.dtype
    ):
        return tuple(module(x) for module in modules)
    members, factors = [], []
    for module in modules:
        (name,) = module.lora_A
        base, drop = module.get_base_layer(), module.lora_dropout[name]
        p = drop.p if isinstance(drop, nn.Dropout) and drop.training else 0.0
        members.append(Member(base.weight, base.bias, module.scaling[name], p))
        factors += [module.lora_A[name].weight, module.lora_B[name].weight]
    return _LoraGroup.apply(x, tuple(members), *factors)
