"""On which devices of this machine a job trains: asked of the machine when the job starts, decided by the estimator, told as an event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from peft_studio.core.compute import find_gpu
from peft_studio.core.device import find_gpus
from peft_studio.core.estimators.parallel import Devices, choose_layout
from peft_studio.core.models import find_prepared
from peft_studio.core.models.facts import read_config
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.shapes import ModelShapes, build_model_shapes
from peft_studio.core.runs.events import DevicesTaken
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import free_memory_bytes
from peft_studio.runner.agent.ranks import count_machines


def take_devices(spec: RunSpec, home: Path) -> DevicesTaken:
    """How many processes train, how the model lies on them, and why.

    Raises:
        SpecError: What the spec asks for cannot be had on this machine.
    """
    devices = find_devices(spec.basis.device)
    devices = replace(devices, count=devices.count * count_machines())
    layout = choose_layout(spec, _find_shapes(spec.model, home), devices)
    return DevicesTaken(
        processes=layout.processes, strategy=layout.strategy, device=devices.name, memory_bytes=devices.memory_bytes, reason=layout.reason,
    )  # fmt: skip


def find_devices(kind: str) -> Devices:
    """The devices of a kind; of unequal GPUs the smallest memory counts. Without one it is the CPU, as for the trainer."""
    gpus = find_gpus() if kind == "cuda" else []
    if not gpus:
        return Devices("cpu", 1, float(free_memory_bytes()), "CPU")
    name = gpus[0][0]
    known = find_gpu(name)
    return Devices("cuda", len(gpus), min(memory for _, memory in gpus), known.name if known else name)


def _find_shapes(model: str, home: Path) -> ModelShapes | None:
    """The sizes of the base model; None before it is here, or where it does not say them."""
    folder = find_prepared(model, home)
    try:
        return build_model_shapes(read_config(folder)) if folder else None
    except (OSError, ModelFailure):
        return None
