"""Preflight: what would stop a run, found before it starts, the cheapest checks first."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from peft_studio.core.data import Dataset
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.markup import block, finding_line
from peft_studio.core.models import find_prepared, read_model_facts
from peft_studio.core.services.prepare import missing_train_modules

Severity = Literal["blocking", "warning", "info"]
CHECKPOINT_BYTES_PER_PARAMETER = 12  # fp32 weight and Adam's two moments
TRAINED_SHARE = 0.03  # of the base model's parameters: rank 16 on all linear layers stays below it
FEW_STEPS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that blocks a run or deserves a look. ``changes`` is the fix as spec fields, where it is one."""

    code: str
    severity: Severity
    message: str
    fix: str
    field: str = ""
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}\n  → {self.fix}"


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict on a spec."""

    problems: tuple[Problem, ...]

    @property
    def ready(self) -> bool:
        return not any(problem.severity == "blocking" for problem in self.problems)

    def __repr__(self) -> str:
        return "\n".join(["Ready" if self.ready else "Not ready", *map(str, self.problems)])

    def _repr_html_(self) -> str:
        lines = "".join(finding_line(problem.severity, problem.message, problem.fix) for problem in self.problems)
        return block([f"<b>{'Ready' if self.ready else 'Not ready'}</b>", f"<ul>{lines}</ul>" if lines else ""])


def check_spec(spec: ExplainedSpec, data: Dataset, *, home: Path) -> Check:
    """All problems of a spec on this machine. Reads the data, loads no model."""
    found = [
        *_installation(),
        *_conflicts(spec),
        *_device(spec),
        *_schedule(spec),
        *_disk(spec, home),
        *_data(spec, data, home),
    ]
    order = ("blocking", "warning", "info")
    return Check(tuple(sorted(found, key=lambda problem: order.index(problem.severity))))


def _installation() -> Iterator[Problem]:
    if missing := missing_train_modules():
        yield Problem(
            "train_extra_missing",
            "blocking",
            f"Training is not installed here: {', '.join(missing)} missing.",
            "pip install 'peft-studio[train]'",
        )


def _conflicts(spec: ExplainedSpec) -> Iterator[Problem]:
    if spec.method == "pissa" and spec.quantization:
        text = "PiSSA starts from a decomposition of the base weights, so the base cannot be quantised."
        yield Problem(
            "pissa_quantised",
            "blocking",
            text,
            "Leave quantization at None, or choose QLoRA.",
            "quantization",
            {"quantization": None},
        )
    if spec.method == "pissa" and spec.precision == "fp16":
        yield Problem(
            "pissa_fp16",
            "blocking",
            "PiSSA's decomposition overflows in fp16.",
            "Use bf16 or fp32.",
            "precision",
            {"precision": "fp32"},
        )
    if spec.data.format == "preference":
        text = "These rows are preference pairs (chosen and rejected). Training on preferences is not built yet."
        yield Problem(
            "preference_data",
            "blocking",
            text,
            "Map the chosen answers: studio.data(…, columns={'completion': 'chosen'}).",
            "data",
        )
    if spec.scale > 8:
        text = f"The adapter's effective scale is {spec.scale:g}; 2 is usual. Alpha may have been left behind when the rank was changed."
        usual = 2 * (spec.rank**0.5 if spec.method == "rslora" else spec.rank)
        yield Problem("scale_high", "warning", text, f"alpha={usual:g} gives scale 2.", "alpha", {"alpha": usual})


def _device(spec: ExplainedSpec) -> Iterator[Problem]:
    if spec.basis.device == "cuda":
        return
    if spec.optimizer in {"adamw_8bit", "paged_adamw_8bit"}:
        text = f"Optimizer {spec.optimizer} runs in a CUDA kernel; this machine has no NVIDIA GPU."
        yield Problem(
            "optimizer_needs_cuda",
            "blocking",
            text,
            "adamw_torch_fused is exact and as fast here.",
            "optimizer",
            {"optimizer": "adamw_torch_fused"},
        )
    if spec.precision == "fp16":
        yield Problem(
            "fp16_needs_cuda",
            "blocking",
            "fp16 training needs loss scaling on a GPU.",
            "On a CPU use bf16 or fp32.",
            "precision",
            {"precision": "bf16" if spec.basis.bf16 else "fp32"},
        )
    if spec.precision == "bf16" and not spec.basis.bf16:
        yield Problem(
            "bf16_emulated",
            "warning",
            "This CPU emulates bfloat16, which is slower than fp32.",
            "precision='fp32' is faster here.",
            "precision",
            {"precision": "fp32"},
        )


def _schedule(spec: ExplainedSpec) -> Iterator[Problem]:
    rows = spec.basis.train_rows
    if rows == 0:
        yield Problem(
            "no_rows",
            "blocking",
            "There is no row to train on.",
            "Choose a smaller split, or leave fewer rows out.",
            "data",
        )
    if not rows:
        return
    steps = spec.planned_steps
    if steps is not None and steps < FEW_STEPS:
        text = (
            f"The run has {steps} optimizer steps; below about {FEW_STEPS} the learning rate matters more than usual."
        )
        yield Problem("few_steps", "info", text, "More epochs, a smaller batch, or a higher learning rate.", "epochs")


def _disk(spec: ExplainedSpec, home: Path) -> Iterator[Problem]:
    parameters = spec.basis.parameters
    if not parameters:
        return
    need = int(parameters * TRAINED_SHARE * CHECKPOINT_BYTES_PER_PARAMETER * (spec.keep_checkpoints + 1))
    free = shutil.disk_usage(home).free
    if free < need:
        text = f"{free / 1e9:.1f} GB are free in {home}; checkpoints and adapter may take {need / 1e9:.1f} GB."
        yield Problem(
            "disk_short",
            "blocking",
            text,
            "Free some space, or keep fewer checkpoints.",
            "keep_checkpoints",
            {"keep_checkpoints": 1},
        )


def _data(spec: ExplainedSpec, data: Dataset, home: Path) -> Iterator[Problem]:
    folder = find_prepared(spec.model, home)
    if folder is None:
        yield Problem(
            "model_not_here",
            "info",
            f"{spec.model} is not on this machine yet; the run fetches it first.",
            "Nothing to do, or studio.prepare(model) now.",
            "model",
        )
        return
    limit = read_model_facts(folder).context_length
    if limit and spec.max_length > limit:
        text = f"max_length is {spec.max_length}; {spec.model} reads {limit} tokens at most."
        yield Problem("beyond_context", "blocking", text, f"max_length={limit}", "max_length", {"max_length": limit})
        return
    report = data.report(folder, max_length=spec.max_length, assistant_only=spec.assistant_only_loss)
    for finding in report.findings:
        if finding.severity != "info":
            changes = {key: value for key, value in (finding.fix_action or {}).items() if key != "leave_out"}
            yield Problem(f"data_{finding.code}", finding.severity, finding.message, finding.fix, "data", changes)
