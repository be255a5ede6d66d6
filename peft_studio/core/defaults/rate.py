"""The default learning rate, and what else the literature would take.

Two schools: keep alpha at 32 and the rate whatever the rank (Thinking Machines), or let alpha grow with the rank and lower the rate
past rank 64 (arXiv 2602.04998). What must never happen is a higher rank with a larger alpha at the same rate: that is what diverges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peft_studio.core.defaults.default import Default
from peft_studio.core.spec import Basis

BIG_MODEL = 13_000_000_000  # above it the sources halve the learning rate
USUAL_SCALE = 2.0
CALM_RANK = 64  # up to here alpha may grow with the rank at the same rate
CALM_ALPHA = 2.0 * CALM_RANK
STUDY = "Learning Rate Matters, arXiv 2602.04998"
TINKER = "tinker-cookbook get_lr (Thinking Machines)"
FIXED_ALPHA = 32.0


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way with a source of its own; ``changes`` are the fields that it sets, together."""

    title: str
    changes: Mapping[str, Any]
    why: str
    source: str


def derive_rate(method: str, basis: Basis, *, rank: int, alpha: float) -> Default:
    """The learning rate for an adapter of this rank and alpha."""
    usual = _usual_rate(method, big=(basis.parameters or 0) > BIG_MODEL)
    scale = alpha / (rank**0.5 if method == "rslora" else rank)
    by_scale = (USUAL_SCALE / scale) ** 0.5 if scale > USUAL_SCALE else 1.0
    by_alpha = min(1.0, CALM_ALPHA / alpha) if rank > CALM_RANK and method != "rslora" else 1.0
    if min(by_scale, by_alpha) == 1:
        return usual
    rate = float(f"{usual.value * min(by_scale, by_alpha):.2g}")
    if by_alpha <= by_scale:
        why = f"Alpha grew with the rank to {alpha:g}; past rank {CALM_RANK} the rate falls by as much ({usual.value:g} below)."
        return Default(rate, why, f"{STUDY}; PEFT Studio")
    why = f"An effective scale of {scale:.3g} takes larger steps than the usual 2: {usual.value:g} over √{scale / USUAL_SCALE:.3g}."
    return Default(rate, why, "peft method comparison (rsLoRA, scale 8 at 1e-4); PEFT Studio")


def _usual_rate(method: str, *, big: bool) -> Default:
    if method == "pissa":
        why = "PiSSA moves the largest singular directions: about a tenth of LoRA's rate."
        return Default(1e-5 if big else 2e-5, why, "PiSSA paper; arXiv 2602.04998")
    if method == "dora":
        return Default(5e-5 if big else 1e-4, "Slightly lower than LoRA, as its authors advise.", "DoRA (NVlabs)")
    if big:
        return Default(1e-4, "The usual rate for LoRA on models above 13B.", "QLoRA paper")
    return Default(
        2e-4, "The usual rate for LoRA up to 13B; runs under 100 steps bear more.", "Unsloth LoRA guide; QLoRA paper"
    )


def find_tinker_rate(basis: Basis) -> float | None:
    """Thinking Machines' rate for LoRA with alpha 32: ten times full fine-tuning's, less for wider models. Llama and Qwen only."""
    family = basis.family or ""
    power = 0.781 if family.startswith("llama") else 0.0775 if family.startswith("qwen") else None
    if power is None or not basis.hidden_size:
        return None
    return float(f"{5e-5 * 10 * (2000 / basis.hidden_size) ** power:.3g}")


def list_rate_alternatives(method: str, basis: Basis) -> tuple[Alternative, ...]:
    """Other learning rates that have a source, for whoever looks beyond the default."""
    rate = find_tinker_rate(basis) if method in {"lora", "qlora"} else None
    if rate is None:
        return ()
    why = f"From a sweep over sizes: 5e-4 at width 2,000, here {basis.hidden_size:,}. With alpha fixed at 32 it holds at any rank."
    return (Alternative("Thinking Machines' rate", {"learning_rate": rate, "alpha": FIXED_ALPHA}, why, TINKER),)
