"""Defaults of the adapter itself: rank, alpha, dropout, targets, quantization.

The effective scale (α/r, for rsLoRA α/√r) stays near 2 whatever the rank, and rank is never raised to fill memory: larger ranks at an
unchanged learning rate are how automatic pickers make training diverge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from peft_studio.core.defaults.default import Default
from peft_studio.core.models.shapes import ADAPTED_EXPERTS
from peft_studio.core.spec import Basis

MANY_ROWS = 20_000
FEW_ROWS = 1_000
MANY_EPOCHS = 3

RSLORA = "rsLoRA, arXiv 2312.03732"
PISSA = "PiSSA, arXiv 2404.02948"
QLORA = "QLoRA, arXiv 2305.14314"
UNSLOTH = "Unsloth LoRA guide"

RANKS = {
    "lora": Default(16, "Enough capacity for data of this size.", f"{UNSLOTH}; rank by data: PEFT Studio"),
    "qlora": Default(
        16, "The 4-bit base asks for no more; the paper's 64 was a safe upper end.", f"{UNSLOTH}; {QLORA}"
    ),
    "dora": Default(16, "DoRA reaches LoRA's quality at half the rank.", "DoRA, arXiv 2402.09353"),
    "rslora": Default(64, "rsLoRA exists for higher ranks: its scale α/√r does not fade as rank grows.", RSLORA),
    "pissa": Default(32, "A quarter of the paper's 128: converted to plain LoRA the rank doubles.", PISSA),
}
MANY_ROWS_RANK = Default(
    32, "More than 20,000 rows carry enough to fill rank 32.", f"{UNSLOTH}; rank by data: PEFT Studio"
)


def derive_adapter(method: str, basis: Basis, chosen: Mapping[str, Any]) -> dict[str, Default]:
    """Defaults of the fields that shape the adapter, dropout aside: that depends on the epochs."""
    rank = RANKS[method]
    if (basis.train_rows or 0) > MANY_ROWS and rank.value < MANY_ROWS_RANK.value:
        rank = MANY_ROWS_RANK
    why = "Adapting all linear layers, not attention alone, is what closes the gap to full fine-tuning."
    return {
        "rank": rank,
        "alpha": _alpha(method, int(chosen.get("rank", rank.value))),
        "quantization": _quantization(method),
        "target_modules": Default("all-linear", why, "LoRA Without Regret (Thinking Machines, 2025)"),
    }


def _alpha(method: str, rank: int) -> Default:
    if method == "rslora":
        why = f"Scale α/√{rank} = 2, the same as LoRA's 32/16, so the same learning rate holds."
        return Default(2.0 * rank**0.5, why, RSLORA)
    if method == "pissa":
        return Default(float(rank), "The paper trains with α = r.", PISSA)
    return Default(2.0 * rank, f"Twice the rank: effective scale 2 at rank {rank}.", f"{UNSLOTH}; TRL guide")


def derive_dropout(method: str, basis: Basis, *, epochs: float, targets: Any) -> Default:
    """How much of the adapter's input to drop: nothing, unless rows are seen so often that they would be memorised."""
    if basis.family in ADAPTED_EXPERTS and targets == "all-linear":
        return Default(0.0, "peft's adapters of fused experts cannot drop anything.", "peft 0.21; tried")
    if method == "pissa":
        return Default(0.0, "PiSSA must start from the exact weights.", PISSA)
    if method == "dora":
        return Default(0.0, "0 lets peft take DoRA's faster path.", "PEFT docs")
    if method == "qlora":
        return Default(0.05, "As in the QLoRA scripts.", QLORA)
    few = Default(0.05, "Fewer than 1,000 rows are easy to memorise.", "PEFT Studio")
    if 0 < (basis.train_rows or 0) < FEW_ROWS:
        return few
    if epochs > MANY_EPOCHS:
        return replace(few, why=f"Rows that are seen {epochs:g} times are easy to memorise.")
    return Default(0.0, "Enough rows not to need it.", UNSLOTH)


def _quantization(method: str) -> Default:
    if method == "qlora":
        why = "4-bit NormalFloat with double quantization: a quarter of the memory at nearly the same quality."
        return Default("nf4", why, QLORA)
    return Default(None, "Unquantised is exact; choose nf4 when memory is short, at some loss of speed.", "PEFT Studio")
