"""Preflight of disk, devices and memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from peft_studio.core.defaults.fit_ladder import Ladder, Rung
from peft_studio.core.errors import SpecError
from peft_studio.core.estimators.parallel import choose_layout
from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem
from peft_studio.core.spec import RunSpec
from peft_studio.core.words import gib

CHECKPOINT_BYTES_PER_PARAMETER = 12  # fp32 weight and Adam's two moments
TRAINED_SHARE = (
    0.03  # of the base model's parameters, where its layers are not known: rank 16 on all linear layers stays below it
)


def check_disk(ground: Ground) -> Iterator[Problem]:
    """Whether checkpoints and the adapter have room."""
    spec, shapes = ground.spec, ground.shapes
    trained: float = (spec.basis.parameters or 0) * TRAINED_SHARE
    if shapes and shapes.known:
        trained = shapes.adapter_parameters(spec.rank, spec.target_modules)
    need = trained * CHECKPOINT_BYTES_PER_PARAMETER * (spec.keep_checkpoints + 1)
    free = shutil.disk_usage(ground.home).free
    if free < need:
        text = f"{free / 1e9:.1f} GB are free in {ground.home}; checkpoints and adapter may take {need / 1e9:.1f} GB."
        fix = "Free some space, or keep fewer checkpoints."
        yield Problem("disk_short", "blocking", text, fix, "keep_checkpoints", {"keep_checkpoints": 1})


def check_devices(ground: Ground) -> Iterator[Problem]:
    """Whether the run can use this machine's devices in the way that it was asked to."""
    try:
        choose_layout(ground.spec, ground.shapes, ground.devices)
    except SpecError as error:
        field = error.fields[0]
        default = RunSpec.model_fields[field].get_default()
        yield Problem("devices_short", "blocking", error.message, error.hint, field, {field: default})


def check_memory(ground: Ground) -> Iterator[Problem]:
    """Whether a step fits, by the closed form. What cannot fit blocks; what may not is a warning."""
    ladder = ground.ladder
    if ladder is None or ladder.asked.fit == "ok":
        return
    needs, free = ladder.asked.needs, ladder.free_bytes
    words = f"about {gib(needs.value)} ({gib(needs.low)} to {gib(needs.high)}); {gib(free)} is free"
    tight = ladder.asked.fit == "tight"
    way = ladder.first or (None if tight else ladder.tightest)
    changes = dict(way.changes) if way else {}
    field = next(iter(changes), "batch_size")
    if tight:
        yield Problem(
            "memory_tight", "warning", f"A step needs {words}: it may not fit.", _fix(ladder, way), field, changes
        )
    else:
        yield Problem("memory_short", "blocking", f"A step needs {words}.", _fix(ladder, way), field, changes)


def _fix(ladder: Ladder, way: Rung | None) -> str:
    if way:
        values = ", ".join(f"{name}={value!r}" for name, value in way.changes.items())
        cut = next((rung.costs for rung in ladder.rungs if rung.spec.max_length == way.spec.max_length), "")
        cut = f" {cut}" if "max_length" in way.changes and cut != way.costs else ""
        sure = "" if way.fit == "ok" else ", which is tight too"
        return f"{values}: needs about {gib(way.needs.value)}{sure}. {way.costs}{cut}"
    if ladder.gpu_gib:
        return f"A GPU with {ladder.gpu_gib} GB would do, or close what else uses memory here."
    return "Choose a smaller base model: one usual GPU is not enough for this one."
