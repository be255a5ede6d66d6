"""Defaults of how long to learn and what a step sees: epochs, batch, length, schedule. The learning rate is in ``rate``."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor
from typing import Any

from peft_studio.core.defaults.default import Default
from peft_studio.core.spec import Basis

EFFECTIVE_BATCH = 16
WANTED_STEPS = 100
SMALL_MODEL = 1_000_000_000
LONGEST = 2048
SHORTEST = 128
WARMUP_SHARE = 0.05
WARMUP_STEPS = 5
MOST_WARMUP = 0.25
MICRO_BATCH_TOKENS = 4096


def derive_schedule(method: str, basis: Basis, chosen: Mapping[str, Any]) -> dict[str, Default]:
    """Defaults of the fields that decide what an optimizer step sees and does."""
    clip = Default(0.3, "The QLoRA scripts clip at 0.3.", "QLoRA scripts")
    length = default_length(basis)
    covers = "Covers the longest row." if (basis.max_tokens or length) <= length else "Longer rows are cut."
    answers = "The loss is on the answers: the model should not learn to write questions."
    return {
        "lr_scheduler": Default(
            "cosine", "Decays to zero, so the end of the run is calm.", "PiSSA, DoRA and TRL scripts"
        ),
        "weight_decay": Default(0.01, "Light; adapters are small.", "Unsloth LoRA guide"),
        "max_grad_norm": clip if method == "qlora" else Default(1.0, "Clips rare spikes only.", "transformers"),
        "max_length": Default(length, covers, "PEFT Studio"),
        "assistant_only_loss": Default(
            basis.conversational,
            answers if basis.conversational else "Plain text has no answers to single out.",
            "PEFT Studio",
        ),
        **_amounts(basis, chosen),
    }


def default_length(basis: Basis) -> int:
    """The longest row rounded up to 64 tokens, at least 128, at most 2,048 or the model's context."""
    limit = min(LONGEST, basis.context_length or LONGEST)
    return max(min(SHORTEST, limit), min(limit, ceil((basis.max_tokens or LONGEST // 2) / 64) * 64))


def derive_warmup(steps: int | None) -> Default:
    """5 % of the steps and at least five of them, but never more than a quarter of the run."""
    why, source = "5 % of the steps, so that Adam's estimates settle first.", "Unsloth LoRA guide"
    if not steps or steps * WARMUP_SHARE >= WARMUP_STEPS:
        return Default(WARMUP_SHARE, why, source)
    # Rounded down: transformers rounds the product up to whole steps.
    share = min(MOST_WARMUP, floor(WARMUP_STEPS / steps * 10_000) / 10_000)
    few = f"{ceil(share * steps)} of {steps} steps: Adam's estimates need about {WARMUP_STEPS} to settle, but never a quarter of the run is exceeded."
    return Default(share, few, f"{source}; PEFT Studio")


def _amounts(basis: Basis, chosen: Mapping[str, Any]) -> dict[str, Default]:
    """Epochs, micro-batch and accumulation: about 16 rows a step, fewer when that leaves too few steps."""
    rows = basis.train_rows
    epochs = 3.0 if rows is None or rows < 5_000 else 2.0 if rows <= 20_000 else 1.0
    micro = _micro_batch(basis, chosen)
    batch = int(chosen.get("batch_size", micro))
    accumulation = max(1, EFFECTIVE_BATCH // batch)
    if rows:
        accumulation = max(
            1, min(accumulation, ceil(rows * float(chosen.get("epochs", epochs)) / batch / WANTED_STEPS))
        )
    effective = (
        f"{accumulation * batch} rows a step: LoRA loses quality above 32, and about {WANTED_STEPS} steps are wanted."
    )
    passes = "one pass is" if epochs == 1 else f"{epochs:g} passes are"
    return {
        "epochs": Default(epochs, f"{rows or 'Few'} rows: {passes} usual.", "Unsloth LoRA guide; PEFT Studio"),
        "batch_size": Default(
            micro, "Rows that fit beside each other comfortably; accumulation does the rest.", "PEFT Studio"
        ),
        "gradient_accumulation_steps": Default(accumulation, effective, "LoRA Without Regret; tinker-cookbook"),
    }


def _micro_batch(basis: Basis, chosen: Mapping[str, Any]) -> int:
    fits = MICRO_BATCH_TOKENS // int(chosen.get("max_length", default_length(basis)))
    most = 4 if basis.device == "cpu" or (basis.parameters or 0) > SMALL_MODEL else 8
    return max(1, min(most, fits))
