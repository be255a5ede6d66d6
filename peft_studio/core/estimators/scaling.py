"""How much faster several devices are than one. A range, from bytes that must travel and links that are assumed: nothing of it was measured.

Legend: N devices, A bytes of the adapter's gradients, W bytes of the base, u micro-batches of a device in a step, S steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from peft_studio.core.estimators.estimate import Estimate
from peft_studio.core.estimators.parallel import Layout
from peft_studio.core.estimators.shares import step_items
from peft_studio.core.estimators.step_shape import FP32
from peft_studio.core.estimators.work import WIDTH
from peft_studio.core.models.shapes import ModelShapes
from peft_studio.core.spec import RunSpec

SHARED = ("training", "evaluation")  # the parts of a duration that are divided; loading, samples and saving are not


@dataclass(frozen=True, slots=True)
class Case:
    """``link``: bytes a second between devices. ``waiting``: how much longer the longest of their micro-batches takes than the mean, for
    which the others wait. ``hidden``: layers travel while others are at work."""

    link: float
    waiting: float
    hidden: bool


# PCIe 3 by way of the host; PCIe 4 × 16; NVLink of an A100. Rows differ in length, so some wait.
SLOW, USUAL, QUICK = Case(4e9, 1.25, False), Case(16e9, 1.1, True), Case(200e9, 1.0, True)


def share_duration(duration: Estimate, spec: RunSpec, shapes: ModelShapes, layout: Layout) -> Estimate:
    """How long a run takes on several devices, from how long it takes on one. The basis says what was assumed."""
    alone = {name: float(seconds) for name, seconds in duration.parts.items()}
    divided, whole = sum(alone.get(name, 0.0) for name in SHARED), sum(alone.values())
    if layout.processes == 1 or not divided:
        return duration
    steps = spec.planned_steps or 1
    slow, usual, quick = (
        shared_s(divided, layout, case, spec=spec, shapes=shapes, steps=steps) for case in (SLOW, USUAL, QUICK)
    )
    rest = whole - divided
    parts = {name: seconds * (usual / divided if name in SHARED else 1.0) for name, seconds in alone.items()}
    value = rest + usual
    low = min(value, float(duration.low) * (rest + quick) / whole)
    high = max(value, float(duration.high) * (rest + slow) / whole)
    times = f"{divided / slow:.1f} to {divided / quick:.1f} times the work of one"
    basis = (
        f"{layout.processes} devices do {times}, assumed from what travels over links of 4 to 200 GB/s, not measured"
    )
    return Estimate(value, low, high, "s", f"{duration.basis}; {basis}", MappingProxyType(parts))


def shared_s(divided_s: float, layout: Layout, case: Case, *, spec: RunSpec, shapes: ModelShapes, steps: int) -> float:
    """Seconds of what one device does in ``divided_s``.

    The longest hand counts, and places that stay empty. Gradients go round once a step, 2·(N-1)/N·A bytes from each device (a ring), with
    nothing else going on; a base in shares is gathered twice a micro-batch, (N-1)/N·W bytes, once forward and once backward.
    """
    count, share = layout.processes, layout.share
    places = count * share.items * share.micro_batches / step_items(spec)
    compute = divided_s / count * places * case.waiting
    gradients = steps * 2 * (count - 1) / count * gradient_bytes(spec, shapes) / case.link
    if layout.strategy != "fsdp":
        return compute + gradients
    gathered = (
        steps * share.micro_batches * 2 * (count - 1) / count * shapes.parameters * WIDTH[spec.precision] / case.link
    )
    return (max(compute, gathered) if case.hidden else compute + gathered) + gradients


def gradient_bytes(spec: RunSpec, shapes: ModelShapes) -> int:
    """What all devices must agree on after a step: fp32, whatever the base is in."""
    return shapes.adapter_parameters(spec.rank, spec.target_modules) * FP32
