"""Defaults that follow from the device: precision, optimizer, checkpointing."""

from __future__ import annotations

from peft_studio.core.defaults.default import Default
from peft_studio.core.spec import Basis

CHECKPOINTING_FROM = 1_000_000_000  # parameters


def derive_hardware(method: str, basis: Basis) -> dict[str, Default]:
    """Defaults of the fields that a device decides."""
    gpu = basis.device == "cuda"
    optimizer = Default("adamw_torch_fused", "Exact AdamW in one kernel.", "PyTorch")
    if gpu and method == "qlora":
        optimizer = Default("paged_adamw_8bit", "Optimizer state can leave the GPU when it is full.", "QLoRA scripts")
    saves = gpu and (basis.parameters or 0) > CHECKPOINTING_FROM
    why = (
        "Saves most of the activations' memory for about a quarter more time."
        if saves
        else "Not short of memory here, and steps are faster without."
    )
    return {
        "precision": _precision(basis),
        "optimizer": optimizer,
        "gradient_checkpointing": Default(saves, why, "Unsloth; measured"),
        "packing": Default(False, "Each row keeps its step; turn on for many short rows.", "PEFT Studio"),
        "loop": Default(
            "auto", "The fast loop where it is shown equal on this model and method, else Trainer's own.", "PEFT Studio"
        ),
        "probe": Default(
            True,
            "Two micro-batches as long as any, and one of evaluation, before the first step: what will not fit fails at once, and memory and pace are "
            "known. Costs their time; runs below 40 micro-batches go without, since their first one is their longest.",
            "PEFT Studio",
        ),
        "processes": Default(1, "One process a device; more for several GPUs.", "PEFT Studio"),
    }


def _precision(basis: Basis) -> Default:
    if basis.bf16:
        return Default("bf16", "This device multiplies bfloat16 in hardware; adapters stay in fp32.", "measured")
    if basis.device == "cuda":
        return Default("fp16", "This GPU has no bfloat16; fp16 with loss scaling.", "PEFT Studio")
    return Default("fp32", "This CPU has no bfloat16 arithmetic: fp32 is fastest here, and exact.", "measured")
