"""Defaults of how long and how fast to learn: rate, epochs, batch, length."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from peft_studio.core.defaults.default import Default
from peft_studio.core.spec import Basis

EFFECTIVE_BATCH = 16
WANTED_STEPS = 100
BIG_MODEL = 13_000_000_000  # above it the sources halve the learning rate
SMALL_MODEL = 1_000_000_000
LONGEST = 2048
SHORTEST = 128
MICRO_BATCH_TOKENS = 4096


def derive_schedule(method: str, basis: Basis, chosen: Mapping[str, Any]) -> dict[str, Default]:
    """Defaults of the fields that decide what an optimizer step sees and does."""
    clip = Default(0.3, "The QLoRA scripts clip at 0.3.", "QLoRA scripts")
    length = default_length(basis)
    covers = "Covers the longest row." if (basis.max_tokens or length) <= length else "Longer rows are cut."
    answers = "The loss is on the answers: the model should not learn to write questions."
    return {
        "learning_rate": _rate(method, big=(basis.parameters or 0) > BIG_MODEL),
        "lr_scheduler": Default(
            "cosine", "Decays to zero, so the end of the run is calm.", "PiSSA, DoRA and TRL scripts"
        ),
        "warmup_ratio": Default(0.05, "5 % of the steps, so that Adam's estimates settle first.", "Unsloth LoRA guide"),
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


def _rate(method: str, *, big: bool) -> Default:
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


def _amounts(basis: Basis, chosen: Mapping[str, Any]) -> dict[str, Default]:
    """Epochs, micro-batch and accumulation: about 16 rows a step, fewer when that leaves too few steps."""
    rows = basis.train_rows
    epochs = 3.0 if rows is None or rows < 5_000 else 2.0 if rows <= 20_000 else 1.0
    micro = _micro_batch(basis, chosen)
    batch = int(chosen.get("batch_size", micro)) * int(chosen.get("processes", 1))
    accumulation = max(1, EFFECTIVE_BATCH // batch)
    if rows:
        accumulation = max(1, min(accumulation, ceil(rows * epochs / batch / WANTED_STEPS)))
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
