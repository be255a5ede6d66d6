"""The five methods as peft sees them, and PiSSA's own life cycle.

PiSSA replaces the base weights by what is left after their principal part went into the adapter. The adapter as trained therefore fits only
that changed base; on export it is converted to a plain LoRA of twice the rank that fits the untouched one (arXiv 2404.02948, appendix C).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

from peft_studio.core.spec import RunSpec

PISSA_INIT = "pissa_niter_16"  # randomised SVD; 16 iterations are indistinguishable from the full one and much faster


def attach_adapter(model: Any, spec: RunSpec, *, scratch: Path) -> PeftModel:
    """Put a fresh adapter around a base model, seeded, so that every job of a run starts from the same weights.

    ``scratch`` is a folder of the run; PiSSA keeps its starting point there for :func:`save_adapter`.
    """
    if spec.quantization:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    torch.manual_seed(spec.seed)
    peft_model = get_peft_model(model, build_config(spec))
    if spec.method == "pissa":
        _save_start(peft_model, scratch)
    return peft_model


def build_config(spec: RunSpec) -> LoraConfig:
    """peft's configuration for a spec."""
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.rank,
        lora_alpha=int(spec.alpha) if spec.alpha == int(spec.alpha) else spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=spec.target_modules if isinstance(spec.target_modules, str) else list(spec.target_modules),
        use_dora=spec.method == "dora",
        use_rslora=spec.method == "rslora",
        init_lora_weights=PISSA_INIT if spec.method == "pissa" else True,
    )


def save_adapter(model: PeftModel, folder: Path, spec: RunSpec, *, scratch: Path) -> None:
    """Write the adapter in peft's own format so that it loads on the untouched base model."""
    if spec.method != "pissa":
        model.save_pretrained(folder, safe_serialization=True)
        return
    model.save_pretrained(
        folder, safe_serialization=True, path_initial_model_for_weight_conversion=str(scratch / "pissa-start")
    )


def _save_start(model: PeftModel, scratch: Path) -> None:
    # Marked as plain LoRA, or loading it would run the decomposition again.
    config = model.peft_config["default"]
    config.init_lora_weights = True
    model.save_pretrained(scratch / "pissa-start")
    config.init_lora_weights = PISSA_INIT
