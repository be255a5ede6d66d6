"""Defaults that follow from the device and its free memory: method, precision, optimizer, checkpointing.

Only what is certain without an estimate is decided here: weights that do not fit, or leave too little. The rest is the fit ladder's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft_studio.core.defaults.default import Default
from peft_studio.core.spec import Basis

CHECKPOINTING_FROM = 1_000_000_000  # parameters
BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0}
NF4_BYTES = 0.55  # with its constants, and what is not quantised
ROOM = 0.9  # of free memory: what even the weights alone must leave
TIGHT = 0.5


def derive_method(basis: Basis, chosen: Mapping[str, Any]) -> Default:
    """LoRA, unless the base model's weights alone do not fit: then QLoRA is the only way to begin."""
    weights = _weight_bytes(basis, chosen, quantised=False)
    if weights and basis.free_bytes and weights > ROOM * basis.free_bytes and "quantization" not in chosen:
        precision = chosen.get("precision", _precision(basis).value)
        words = f"The weights alone take {_gb(weights)} in {precision}; {_gb(basis.free_bytes)} is free here."
        return Default("qlora", words, "PEFT Studio")
    return Default("lora", "The reference, where it fits.", "PEFT Studio")


def derive_hardware(method: str, basis: Basis, chosen: Mapping[str, Any]) -> dict[str, Default]:
    """Defaults of the fields that a device decides."""
    weights = _weight_bytes(basis, chosen, quantised=method == "qlora" or chosen.get("quantization") is not None)
    gpu, tight = basis.device == "cuda", bool(basis.free_bytes) and weights > TIGHT * (basis.free_bytes or 0)
    optimizer = Default("adamw_torch_fused", "Exact AdamW in one kernel.", "PyTorch")
    if gpu and method == "qlora":
        optimizer = Default("paged_adamw_8bit", "Optimizer state can leave the GPU when it is full.", "QLoRA scripts")
    elif gpu and tight:
        optimizer = Default("paged_adamw_8bit", "Memory is tight: its state is a quarter, and can leave.", "QLoRA")
    saves = tight or (gpu and (basis.parameters or 0) > CHECKPOINTING_FROM)
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
        "processes": Default(None, "As many as the machine has GPUs, where they help; a CPU takes one.", "PEFT Studio"),
        "sharding": Default("auto", "The whole model on each device where it fits, else a share of it.", "PEFT Studio"),
    }


def _weight_bytes(basis: Basis, chosen: Mapping[str, Any], *, quantised: bool) -> float:
    width = BYTES.get(str(chosen.get("precision", _precision(basis).value)), 4.0)
    return (basis.parameters or 0) * (NF4_BYTES if quantised else width)


def _precision(basis: Basis) -> Default:
    if basis.bf16:
        return Default("bf16", "This device multiplies bfloat16 in hardware; adapters stay in fp32.", "measured")
    if basis.device == "cuda":
        return Default("fp16", "This GPU has no bfloat16; fp16 with loss scaling.", "PEFT Studio")
    return Default("fp32", "This CPU has no bfloat16 arithmetic: fp32 is fastest here, and exact.", "measured")


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
