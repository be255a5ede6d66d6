"""What a run will take, before it starts: memory, time and dollars of one spec on one device, corrected by what this home has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from peft_studio.core.compute import LOCAL, BillingRules, DeviceSpeed, Electricity, find_gpu, gpu_speed
from peft_studio.core.device import find_device, find_free_bytes, find_gpus
from peft_studio.core.errors import SpecError, nearest
from peft_studio.core.estimators import (
    Correction,
    Estimate,
    Fit,
    RowMix,
    build_row_mix,
    estimate_cost,
    estimate_duration,
    find_fit,
    takes_fast_loop,
)
from peft_studio.core.estimators.corrections import apply_correction
from peft_studio.core.estimators.duration import predict_each
from peft_studio.core.estimators.fit import fit_sentence
from peft_studio.core.estimators.parallel import Devices, Layout, choose_layout
from peft_studio.core.estimators.scaling import share_duration
from peft_studio.core.models import find_embedded, find_prepared
from peft_studio.core.models.facts import read_config
from peft_studio.core.models.failure import ModelFailure
from peft_studio.core.models.prepared import find_config
from peft_studio.core.models.shapes import ModelShapes, build_model_shapes
from peft_studio.core.runs.prediction import Prediction
from peft_studio.core.services.device_speed import machine_name
from peft_studio.core.spec import RunSpec

Corrections = Mapping[tuple[str, str, str, str], Correction]
NONE: Corrections = MappingProxyType({})
WEIGHT_BYTES = 2.0  # of a parameter as hubs keep it


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run would go: a device, its memory and speed as far as known, how it bills."""

    kind: str  # cpu or cuda
    name: str
    memory_bytes: float | None
    speed: DeviceSpeed | None
    rules: BillingRules | None
    electricity: Electricity | None = None
    here: bool = True
    gpus: int = 1  # equal ones of one machine; memory and speed are of each, rules of all


@dataclass(frozen=True, repr=False)
class Quote:
    """What one run would take on one device. What is not known is None, and ``notes`` say why.

    Attributes:
        memory, duration, cost: Each an Estimate or None; parts add up to the value.
        device, device_bytes: Where, and how much memory there is (here: free now).
        fit: ``ok``, ``tight``, ``wont-fit`` or ``unknown``.
        prediction: The same, as a run keeps it.
    """

    memory: Estimate | None
    duration: Estimate | None
    cost: Estimate | None
    device: str
    device_bytes: float | None
    fit: Fit
    prediction: Prediction
    notes: tuple[str, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """``needs 3.1 (2.8–3.9) of 24.0 GiB``."""
        return fit_sentence(self.memory, self.device_bytes)

    @property
    def summary(self) -> str:
        """One line: fit, memory, time, dollars."""
        from peft_studio.core.services.quote_view import quote_line

        return quote_line(self)

    def __repr__(self) -> str:
        from peft_studio.core.services.quote_view import quote_text

        return quote_text(self)

    def _repr_html_(self) -> str:
        from peft_studio.core.services.quote_view import quote_html

        return quote_html(self)


def build_quote(spec: RunSpec, home: Path, place: Place, *, corrections: Corrections = NONE) -> Quote:
    """Quote a spec for a place. Reads config.json and nothing else, and that once: milliseconds.

    Args:
        spec: What would be launched.
        home: Where its base model is prepared.
        place: From :func:`find_place`.
        corrections: From the record of this home's finished runs.
    """
    family = spec.basis.family or "unknown"
    notes: list[str] = []
    shapes, mix = find_shapes(spec.model, home), build_spec_mix(spec)
    layout = find_layout(spec, shapes, place, notes)
    memory, duration = _estimate(spec, shapes, mix, place=place, layout=layout, home=home, notes=notes)
    device = place.name
    if layout and layout.processes > 1:
        device = f"{layout.processes} × {place.name}, {layout.strategy.upper()}"
        notes.append(f"{device}: {layout.reason}.")
    raw = {} if memory is None else {"memory": float(memory.value)}
    raw |= {} if duration is None else {name: float(value) for name, value in duration.parts.items()}
    mine = {key[3]: one for key, one in corrections.items() if key[:3] == (device, family, spec.method)}
    if memory is not None and "memory" in mine:
        memory = apply_correction(memory, {"": mine["memory"]})
    if duration is not None:
        duration = apply_correction(duration, {name: one for name, one in mine.items() if name != "memory"})
    cost = _cost(duration, place, notes)
    each = predict_each(spec, duration, eval_rows=spec.basis.eval_rows or 0) if duration else {}
    prediction = Prediction(
        device=device, family=family, method=spec.method, memory=memory, duration=duration, cost=cost,
        raw=MappingProxyType(raw), each=MappingProxyType(each),
    )  # fmt: skip
    fit = find_fit(memory, place.memory_bytes)
    return Quote(memory, duration, cost, device, place.memory_bytes, fit, prediction, tuple(notes))


def find_place(
    compute: str,
    *,
    speed: DeviceSpeed | None = None,
    rules: BillingRules | None = None,
    electricity: Electricity | None = None,
) -> Place:
    """The place that ``compute`` names: ``local``, or a card of the device table (``"RTX 4090"``).

    Raises:
        SpecError: There is no such place.
    """
    if compute == "local":
        device = find_device()
        name = machine_name() if device.kind == "cpu" else device.name
        gpus = max(1, len(find_gpus())) if device.kind == "cuda" else 1
        return Place(device.kind, name, find_free_bytes(), speed, rules or LOCAL, electricity, gpus=gpus)
    gpu = find_gpu(compute)
    if gpu is None:
        from peft_studio.core.compute import GPUS

        raise SpecError(
            f"There is no compute {compute!r} here.", hint=nearest(compute, ["local", *(one.name for one in GPUS)]),
            fields=("compute",),
        )  # fmt: skip
    return Place("cuda", gpu.name, gpu.memory_gib * 2.0**30, gpu_speed(gpu), rules, electricity, here=False)


def build_spec_mix(spec: RunSpec) -> RowMix:
    """Rows as this spec cuts and batches them, from the lengths that its basis carries."""
    basis = spec.basis
    return build_row_mix(
        basis.row_tokens, max_length=spec.max_length, batch_size=1 if spec.packing else spec.batch_size,
        learnt_share=basis.learnt_share if spec.assistant_only_loss else 1.0, shared=basis.shared_tokens, p95=basis.p95_tokens,
    )  # fmt: skip


def find_layout(spec: RunSpec, shapes: ModelShapes | None, place: Place, notes: list[str]) -> Layout | None:
    """How the run goes on the place's devices; None, with the reason in the notes, where it cannot go there as it was asked for."""
    try:
        return choose_layout(spec, shapes, Devices(place.kind, place.gpus, place.memory_bytes, place.name))
    except SpecError as error:
        notes.append(error.message)
        return None


def _estimate(
    spec: RunSpec,
    shapes: ModelShapes | None,
    mix: RowMix,
    *,
    place: Place,
    layout: Layout | None,
    home: Path,
    notes: list[str],
) -> tuple[Estimate | None, Estimate | None]:
    if shapes is None:
        notes.append(f"{spec.model} is not here yet or does not say its sizes, so neither memory nor time is known.")
        return None, None
    if layout is None or layout.memory is None:
        return None, None
    memory = layout.memory
    if layout.processes > 1:
        memory = replace(memory, basis=f"{memory.basis}; of each device: {layout.reason}")
    fast = takes_fast_loop(spec, shapes, place.kind)
    rows = spec.basis.train_rows
    if place.speed is None:
        notes.append(f"How fast {place.name} trains is not known yet, so time is not.")
    elif not rows:
        notes.append("How many rows there are is not known, so time is not.")
    elif place.speed.find(spec.precision, "fast" if fast else "reference") is None:
        notes.append(f"How fast {place.name} is in {spec.precision} is not known, so time is not.")
    else:
        is_here = place.here and bool(find_embedded(spec.model) or find_prepared(spec.model, home))
        download = 0.0 if is_here else shapes.parameters * WEIGHT_BYTES
        alone = estimate_duration(
            spec, shapes, mix, speed=place.speed, fast=fast, train_rows=rows, eval_rows=spec.basis.eval_rows or 0,
            download_bytes=download,
        )  # fmt: skip
        return memory, share_duration(alone, spec, shapes, layout)
    return memory, None


def _cost(duration: Estimate | None, place: Place, notes: list[str]) -> Estimate | None:
    if place.rules is None:
        notes.append(f"What {place.name} costs depends on who rents it out; no offer was given.")
        return None
    return None if duration is None else estimate_cost(duration, place.rules, electricity=place.electricity)


def find_shapes(model: str, home: Path) -> ModelShapes | None:
    """The sizes of a base model that is on this machine or comes in a package; None for others, and where it does not say them."""
    folder = find_prepared(model, home)
    try:
        if folder is None:
            config = find_config(model, home)
            return build_model_shapes(config) if config else None
        return _read_shapes(folder, (folder / "config.json").stat().st_mtime_ns)
    except (OSError, ModelFailure):
        return None


@lru_cache(maxsize=64)
def _read_shapes(folder: Path, _changed_ns: int) -> ModelShapes | None:
    return build_model_shapes(read_config(folder))
