"""The device of this machine as the notebook sees it: without torch, from the system's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from peft_studio.core.system import cpu_has_bf16, free_memory_bytes

AMPERE = 8.0  # first compute capability with bfloat16


@dataclass(frozen=True, slots=True)
class Device:
    """``kind`` is cuda or cpu; ``bf16`` whether it multiplies bfloat16 in hardware."""

    kind: str
    name: str
    bf16: bool


@cache
def find_device() -> Device:
    """The device that a run here would use: the first NVIDIA GPU, else the CPU."""
    nvidia = shutil.which("nvidia-smi")
    if nvidia:
        query = [nvidia, "--query-gpu=name,compute_cap", "--format=csv,noheader"]
        try:
            out = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
            name, _, capability = out.splitlines()[0].rpartition(",")
            return Device("cuda", name.strip(), float(capability) >= AMPERE)
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            pass  # a driver without a card, or a tool too old to say: then it is the CPU
    return Device("cpu", "CPU", cpu_has_bf16())


def find_gpus() -> list[tuple[str, float]]:
    """Name and memory in bytes of each NVIDIA GPU that a run here may use: ``$CUDA_VISIBLE_DEVICES`` holds some back. Asks anew each time."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        cells = [line.rpartition(",") for line in out.splitlines() if line.strip()]
        found = [(name.strip(), float(mib) * 2**20) for name, _, mib in cells]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return found
    shown = [one.strip() for one in given.split(",") if one.strip()]
    if all(one.isdigit() for one in shown):
        return [found[int(one)] for one in shown if int(one) < len(found)]
    return found[: len(shown)]  # by UUID: of equal cards any will do


def find_free_bytes() -> int | None:
    """Memory that a run started now could take on :func:`find_device`; None where the driver does not say. Asks anew each time."""
    if find_device().kind != "cuda":
        return free_memory_bytes()
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(out.split()[0]) << 20  # it counts in MiB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
