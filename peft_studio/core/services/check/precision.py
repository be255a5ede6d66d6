"""Preflight of number formats and of what a device's kernels can do."""

from __future__ import annotations

from collections.abc import Iterator

from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem


def check_precision(ground: Ground) -> Iterator[Problem]:
    """Precision and optimizer against the device."""
    spec = ground.spec
    gpu = spec.basis.device == "cuda"
    if not gpu and spec.optimizer in {"adamw_8bit", "paged_adamw_8bit"}:
        text = f"Optimizer {spec.optimizer} runs in a CUDA kernel; this machine has no NVIDIA GPU."
        fix, changes = "adamw_torch_fused is exact and as fast here.", {"optimizer": "adamw_torch_fused"}
        yield Problem("optimizer_needs_cuda", "blocking", text, fix, "optimizer", changes)
    if not gpu and spec.precision == "fp16":
        text, other = "fp16 training needs loss scaling on a GPU.", "bf16" if spec.basis.bf16 else "fp32"
        yield Problem(
            "fp16_needs_cuda", "blocking", text, "On a CPU use bf16 or fp32.", "precision", {"precision": other}
        )
    if spec.precision == "bf16" and not spec.basis.bf16:
        what, other = ("GPU", "fp16") if gpu else ("CPU", "fp32")
        text = f"This {what} emulates bfloat16, which is slower than {other}."
        fix = f"precision={other!r} is faster here."
        yield Problem("bf16_emulated", "warning", text, fix, "precision", {"precision": other})
    if spec.method == "pissa" and spec.precision == "fp16":
        text = "PiSSA's decomposition overflows in fp16."
        yield Problem("pissa_fp16", "blocking", text, "Use bf16 or fp32.", "precision", {"precision": "fp32"})
