"""The tables of ``memory.py``: estimates beside the recorded truth. Reads fixtures, measures nothing."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from memory_cases import MODELS, Case, build_cases, is_held_out, name_of
from memory_rivals import ask_accelerate

from peft_studio.core.estimators import Estimate, StepShape, count_training_bytes, estimate_training_memory
from peft_studio.core.estimators.memory import BF16_KERNELS_BYTES, KEPT_BY_MALLOC
from peft_studio.core.models.shapes import ModelShapes, build_model_shapes
from peft_studio.core.spec import DataRef, RunSpec

PEFT_RUNS = Path(__file__).with_name("memory_peft_runs.json")
NO_DATA = DataRef(path="", origin="", format="text", rows=1, sha256="")
HALVES = {True: "held out", False: "tuned", None: "published"}
Row = Mapping[str, Any]


def print_tables(truth: dict[str, Any]) -> None:
    """Errors of every estimator, per configuration and together, the tuned half and the held-out half apart."""
    measured = [
        (case, truth["rows"][name_of(case)]) for case in build_cases() if "live" in truth["rows"].get(name_of(case), {})
    ]
    for case, row in measured:
        half = "held out" if is_held_out(case) else "tuned"
        print(
            f"{name_of(case):58} {row['loop']:9} {row['live'] / 1e6:7.1f} MB  closed {closed_form(case, row) / row['live'] - 1:+6.1%}  {half}"
        )
    print(f"\nmeasured {truth['measured']['date']}: {truth['measured']['versions']}\n\nlive bytes")
    estimators: dict[str, Callable[[Case, Row], float | None]] = {
        "closed form": closed_form, "dry run": lambda case, row: row.get("dry_run"),
        "accelerate": lambda case, row: ask_accelerate(shapes_of(case["model"]).parameters, case["precision"]),
        "fitcheck 0.3.1": lambda case, row: row.get("fitcheck"),
    }  # fmt: skip
    for name, estimate in estimators.items():
        for half in (False, True):
            found = [(estimate(case, row), row["live"]) for case, row in measured if is_held_out(case) is half]
            print_line(name, half, [(value, real) for value, real in found if value is not None])
    print("\npeak resident memory, allocator's threshold fixed")
    for half in (False, True):
        rows = [(case, row) for case, row in measured if "resident" in row and is_held_out(case) is half]
        print_line("closed form", half, [(resident(case), row["resident"]) for case, row in rows])
    print_fits(measured)
    print_peft_runs()


def print_line(name: str, held_out: bool | None, pairs: Sequence[tuple[float, float]]) -> None:
    """Mean, 95th percentile and worst error of an estimator."""
    if not pairs:
        return
    errors = sorted((value / real - 1 for value, real in pairs), key=abs)
    sizes = [abs(error) for error in errors]
    p95 = sizes[min(len(sizes) - 1, round(0.95 * len(sizes)))]
    print(f"  {name:15} {HALVES[held_out]:9} of {len(sizes):3}: "
          f"mean {statistics.mean(sizes):6.1%}, p95 {p95:6.1%}, worst {errors[-1]:+7.1%}")  # fmt: skip


def print_fits(measured: Sequence[tuple[Case, Row]]) -> None:
    """A run fits where the upper end of its range does: how often would a machine just so large have been too small?"""
    default = [(case, row) for case, row in measured if row.get("resident_default")]
    if not default:
        print(
            "\n'fits' that would not have fitted: not measured, no resident memory under glibc's default settings is recorded"
        )
        return
    wrong = [name_of(case) for case, row in default if estimate(case).high < row["resident_default"]]
    print(f"\n'fits' that would not have fitted, glibc's default settings: {len(wrong)} of {len(default)} {wrong}")


def print_peft_runs() -> None:
    """The closed form against the allocator's peak on a GPU, rows as long as the published setting allows."""
    runs = json.loads(PEFT_RUNS.read_text())
    shapes = build_model_shapes(runs["model"])
    assert shapes
    print(
        f"\npublished runs ({runs['source']}, {runs['commit'][:10]}): reserved memory at most, {len(runs['rows'])} of {runs['of_files']} runs"
    )
    pairs = []
    for run in runs["rows"]:
        pairs.append((without_autocast(shapes, run), run["max_reserved_bytes"]))
        print(
            f"  {run['file']:46} {run['gpu']} {run['max_reserved_bytes'] / 2**30:6.2f} GiB  closed {pairs[-1][0] / pairs[-1][1] - 1:+6.1%}"
        )
    print_line("closed form", None, pairs)


def without_autocast(shapes: ModelShapes, run: Row) -> float:
    """Those runs do not autocast: adapters read fp32 copies, and there are no 16-bit copies of A and B."""
    step = StepShape(
        tokens=run["batch_size"] * run["max_length"], rows=run["batch_size"], rank=run["rank"], precision="bf16",
        targets=tuple(run["target_modules"]), dora=run["method"] == "dora", on_gpu=True,
    )  # fmt: skip
    targets = shapes.targets(step.targets)
    wider = 2 * step.tokens * shapes.layers * (sum(one.inputs for one in targets) + len(targets) * step.rank)
    return (
        sum(count_training_bytes(shapes, step).values())
        + wider
        - 2 * shapes.adapter_parameters(step.rank, step.targets)
    )


@cache
def shapes_of(model: str) -> ModelShapes:
    """The shapes of a benchmark model, from its config alone."""
    family, fields = MODELS[model]
    shapes = build_model_shapes({"model_type": family, **fields})
    assert shapes
    return shapes


def estimate(case: Case) -> Estimate:
    """The public closed form, asked as the product asks it."""
    fields = {key: value for key, value in case.items() if key != "model"}
    return estimate_training_memory(RunSpec(model="", data=NO_DATA, **fields), shapes_of(case["model"]), device="cpu")


def closed_form(case: Case, row: Row) -> float:
    """Live bytes: all but what the libraries take and what the allocator keeps."""
    found = estimate(case)
    return (float(found.value) - float(found.parts["context"])) / (1 + KEPT_BY_MALLOC)


def resident(case: Case) -> float:
    """All of it, but for the kernels of other lengths: here all micro-batches are alike."""
    found = estimate(case)
    return float(found.value) - (BF16_KERNELS_BYTES if case["precision"] == "bf16" else 0.0)
