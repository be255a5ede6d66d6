"""How equal devices of one machine share a run: one of them, all with the whole model each (DDP), or all with a share of it each (FSDP).

A pure decision from shapes, spec and devices. What it does to time is in :mod:`scaling`.
"""

from __future__ import annotations

from dataclasses import dataclass

from peft_studio.core.errors import SpecError
from peft_studio.core.estimators.estimate import Estimate
from peft_studio.core.estimators.fit import GIB, find_fit
from peft_studio.core.estimators.memory import Sharding, estimate_training_memory
from peft_studio.core.estimators.shares import Share, Strategy, share_step, step_items
from peft_studio.core.estimators.work import WIDTH
from peft_studio.core.models.shapes import ModelShapes
from peft_studio.core.spec import RunSpec

ROOM = 0.9  # of a device's memory: what even the weights alone must leave

QUANTISED = (
    "weights of 4 or 8 bits cannot be shared out here: bitsandbytes keeps constants beside them that FSDP does not cut"
)
PISSA = "PiSSA cannot be shared out: its adapter is tried on the untouched base, whole, on one device"


@dataclass(frozen=True, slots=True)
class Devices:
    """``count`` equal devices of one machine. ``memory_bytes`` of each, None where unknown."""

    kind: str  # cpu or cuda
    count: int = 1
    memory_bytes: float | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a run uses devices, and why. ``memory``: of each; None where the model's shapes are not known."""

    processes: int
    strategy: Strategy
    share: Share
    memory: Estimate | None
    reason: str


def choose_layout(spec: RunSpec, shapes: ModelShapes | None, devices: Devices) -> Layout:
    """How a run goes on these devices. What a person chose stands, also where it will not fit.

    Raises:
        SpecError: That cannot be had: more processes than GPUs, or shares of what cannot be shared out.
    """
    count = _count(spec, devices)
    if spec.sharding == "fsdp":
        _check_shares(spec, count)
    whole = _estimate(spec, shapes, devices, count=count, sharding="ddp")
    if count == 1:
        return Layout(1, "single", share_step(spec, 1), whole, _why_one(spec, devices))
    share = share_step(spec, count)
    against = against_shares(spec)
    if spec.sharding == "ddp":
        return Layout(count, "ddp", share, whole, "as the spec says: the whole model on each device")
    shared = whole if against else _estimate(spec, shapes, devices, count=count, sharding="fsdp")
    if spec.sharding == "fsdp":
        return Layout(count, "fsdp", share, shared, "as the spec says: a share of the base model on each device")
    if whole is None and not against and (weights := _too_heavy(spec, devices)):
        return Layout(count, "fsdp", share, None, weights)
    if find_fit(whole, devices.memory_bytes) != "wont-fit":
        return Layout(count, "ddp", share, whole, _why_whole(whole, devices))
    if against:
        return Layout(count, "ddp", share, whole, f"{_needs(whole, devices)}; {against}")
    return Layout(count, "fsdp", share, shared, f"{_needs(whole, devices)}, with a share of the base {_gib(shared)}")


def against_shares(spec: RunSpec) -> str | None:
    """Why the base model cannot be shared out over devices; None where it can."""
    if spec.quantization:
        return QUANTISED
    return PISSA if spec.method == "pissa" else None


def _count(spec: RunSpec, devices: Devices) -> int:
    """A CPU's cores work together as one device already; a step of few rows has no work for many."""
    if spec.processes is None:
        return 1 if devices.kind == "cpu" else max(1, min(devices.count, step_items(spec)))
    if devices.kind != "cpu" and spec.processes > devices.count:
        there = "is 1 GPU" if devices.count == 1 else f"are {devices.count} GPUs"
        raise SpecError(
            f"{spec.processes} training processes were asked for, one a device; there {there}.",
            hint="Leave processes empty to use what the machine has.",
            fields=("processes",),
        )
    return spec.processes


def _check_shares(spec: RunSpec, count: int) -> None:
    against = against_shares(spec)
    if count == 1:
        against = "a base model is shared out over several devices, and there is one"
    if against:
        raise SpecError(
            f"sharding='fsdp' cannot be had: {against}.", hint="Leave sharding at 'auto'.", fields=("sharding",)
        )


def _estimate(
    spec: RunSpec, shapes: ModelShapes | None, devices: Devices, *, count: int, sharding: Sharding
) -> Estimate | None:
    """Memory of one device, whose micro-batches are those of its share."""
    if shapes is None:
        return None
    share = share_step(spec, count)
    mine = {"gradient_accumulation_steps": share.micro_batches} | ({} if spec.packing else {"batch_size": share.items})
    return estimate_training_memory(
        spec.model_copy(update=mine), shapes, device=devices.kind, row_tokens=spec.basis.max_tokens, gpus=count, sharding=sharding,
    )  # fmt: skip


def _too_heavy(spec: RunSpec, devices: Devices) -> str | None:
    """For a base model whose shapes are not here yet: whether its weights alone fill a device."""
    weights = (spec.basis.parameters or 0) * WIDTH[spec.precision]
    if not devices.memory_bytes or weights <= ROOM * devices.memory_bytes:
        return None
    return f"the weights alone take {weights / GIB:.1f} GiB, a device has {devices.memory_bytes / GIB:.1f}"


def _why_one(spec: RunSpec, devices: Devices) -> str:
    if spec.processes == 1:
        return "as the spec says: one process"
    if devices.kind == "cpu":
        return "the cores of a CPU work on one step together"
    return "there is one device" if devices.count == 1 else "a step has one row, which cannot be divided"


def _why_whole(whole: Estimate | None, devices: Devices) -> str:
    if whole is None or not devices.memory_bytes:
        return "whether the whole model fits a device is not known, so it is tried"
    return f"the whole model fits each device: {_gib(whole)} of {devices.memory_bytes / GIB:.1f} GiB"


def _needs(whole: Estimate | None, devices: Devices) -> str:
    assert whole is not None
    assert devices.memory_bytes
    return f"the whole model would need {_gib(whole)} of a device's {devices.memory_bytes / GIB:.1f} GiB"


def _gib(memory: Estimate | None) -> str:
    return "—" if memory is None else f"{float(memory.value) / GIB:.1f} GiB"
