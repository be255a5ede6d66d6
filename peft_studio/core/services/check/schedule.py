"""Preflight of how long the run is."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem

FEW_STEPS = 100
MOST_EPOCHS = 10  # more passes over the same rows are memorised, not learnt


def check_schedule(ground: Ground) -> Iterator[Problem]:
    """Whether there are enough optimizer steps for the learning rate to be the usual one."""
    spec, rows = ground.spec, ground.spec.basis.train_rows
    steps = spec.planned_steps
    if not rows or steps is None or steps >= FEW_STEPS:
        return
    text = f"The run has {steps} optimizer steps; below about {FEW_STEPS} the learning rate matters more than usual."
    if spec.max_steps is not None:  # as somebody wants it: to try something out, most often
        yield Problem("few_steps", "info", text, "More steps, or a learning rate found by a sweep.", "max_steps")
        return
    epochs = ceil(FEW_STEPS / ceil(rows / spec.effective_batch))
    changes = {"epochs": float(epochs)} if epochs <= MOST_EPOCHS else {}
    fix = f"{epochs} epochs give {FEW_STEPS} steps." if changes else "More rows, or a learning rate found by a sweep."
    yield Problem("few_steps", "warning", text, fix, "epochs", changes)
