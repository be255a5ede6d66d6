"""Preflight: what would stop a run, found before it starts. A module a topic; here is their order, the cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from peft_studio.core.data import Dataset
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.loop import check_loop
from peft_studio.core.services.check.methods import check_methods
from peft_studio.core.services.check.model import check_model
from peft_studio.core.services.check.precision import check_precision
from peft_studio.core.services.check.problem import SEVERITIES, Check, Problem, Severity
from peft_studio.core.services.check.room import check_devices, check_disk, check_memory
from peft_studio.core.services.check.rows import check_rows
from peft_studio.core.services.check.schedule import check_schedule
from peft_studio.core.services.check.serving import check_serving
from peft_studio.core.services.check.targets import check_targets
from peft_studio.core.services.prepare import missing_train_modules

__all__ = ["Check", "Problem", "Severity", "add_problems", "check_spec"]


def check_installed(ground: Ground) -> Iterator[Problem]:
    """Whether training can be done here at all."""
    if missing := missing_train_modules():
        text = f"Training is not installed here: {', '.join(missing)} missing."
        yield Problem("train_extra_missing", "blocking", text, "pip install 'peft-studio[train]'")


CHECKS: tuple[Callable[[Ground], Iterator[Problem]], ...] = (
    check_installed, check_rows, check_model, check_disk, check_devices, check_memory, check_precision, check_methods, check_targets, check_loop,
    check_schedule, check_serving,
)  # fmt: skip


def check_spec(spec: ExplainedSpec, data: Dataset, *, home: Path) -> Check:
    """All problems of a spec on this machine, the worst first. Reads the data, loads no model."""
    ground = Ground(spec, data, home)
    return add_problems(Check((), ground.ladder), (problem for check in CHECKS for problem in check(ground)))


def add_problems(check: Check, more: Iterable[Problem]) -> Check:
    """A check with more problems, the worst first."""
    found = sorted((*check.problems, *more), key=lambda problem: SEVERITIES.index(problem.severity))
    return Check(tuple(found), check.ladder)
