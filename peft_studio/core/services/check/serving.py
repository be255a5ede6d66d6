"""Preflight of where the adapter can be served later: what is to be known before it is trained, not after."""

from __future__ import annotations

from collections.abc import Iterator

from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem

VLLM_DEFAULT_RANK = 16  # vllm.config.lora.LoRAConfig
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def check_serving(ground: Ground) -> Iterator[Problem]:
    """vLLM's limits, the server that most hosts run."""
    spec = ground.spec
    if spec.method == "dora":
        text = "vLLM does not serve DoRA adapters, and unmerged they answer more slowly."
        yield Problem("dora_serving", "info", text, "Merge the adapter into its base before serving it.", "method")
        return
    served = 2 * spec.rank if spec.method == "pissa" else spec.rank
    if served <= VLLM_DEFAULT_RANK:
        return
    doubled = f" (PiSSA is saved as LoRA of twice rank {spec.rank})" if spec.method == "pissa" else ""
    text = f"The adapter will have rank {served}{doubled}; vLLM takes {VLLM_DEFAULT_RANK} unless told otherwise."
    enough = next((rank for rank in VLLM_RANKS if rank >= served), None)
    fix = f"Serve it with --max-lora-rank {enough}." if enough else "vLLM takes 512 at most: merge before serving."
    yield Problem("server_rank", "info", text, fix, "rank")
