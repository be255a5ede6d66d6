"""How far estimates of a run's time are from what it takes: before it starts, and after 20 steps.

    QUIET: python benchmarks/time.py develop            the half that the constants were set on, about four minutes
    QUIET: python benchmarks/time.py held-out           the other half: looked at once
           python benchmarks/time.py held-out --spread  each configuration twice, and how far the two are apart
           … --threads 1                                one thread a run: what a shared machine disturbs least

Real runs through ``studio.launch``, of models with random weights and rows of log-normal lengths. The split is by position: of CASES
below, those at even places (0, 2, …) are for development, those at odd ones are held out. Every line has predicted ÷ actual of the
whole run (launch to end), of its training alone, and of what was left after 20 steps. Nothing can be predicted better than two runs
of one configuration agree; ``--spread`` says how well they do. ``--keep FOLDER`` keeps the runs, ``--again FOLDER`` predicts kept ones
anew without running anything.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from random_models import write_model, write_rows

AFTER = 20  # steps
COMMON = {
    "gradient_accumulation_steps": 1,
    "steps": 40,
    "epochs": 1,
    "precision": "fp32",
    "dropout": 0.0,
    "save_steps": 20,
}
CASES: tuple[dict[str, Any], ...] = (
    {"model": "llama-3m", "mean": 100, "batch_size": 4, "max_length": 256},
    {"model": "llama-3m", "mean": 160, "batch_size": 2, "max_length": 256, "precision": "bf16"},
    {"model": "llama-3m", "mean": 100, "batch_size": 4, "max_length": 256, "loop": "reference"},
    {"model": "llama-3m", "mean": 60, "batch_size": 8, "max_length": 128, "method": "dora", "gradient_checkpointing": True},
    {"model": "qwen2-20m", "mean": 60, "batch_size": 2, "max_length": 128, "split": 0.1, "eval_steps": 15},
    {"model": "qwen2-20m", "mean": 90, "batch_size": 2, "max_length": 256, "precision": "bf16", "gradient_accumulation_steps": 2},
    {"model": "qwen2-20m", "mean": 60, "batch_size": 4, "max_length": 128, "gradient_checkpointing": True, "precision": "bf16"},
    {"model": "qwen2-20m", "mean": 50, "batch_size": 2, "max_length": 128, "loop": "reference", "rank": 64},
    {"model": "qwen2-20m", "mean": 50, "batch_size": 2, "max_length": 128, "method": "qlora", "quantization": "nf4", "precision": "bf16"},
    {"model": "qwen2-20m", "mean": 60, "batch_size": 2, "max_length": 128, "packing": True, "split": 0.1, "steps": 80},
    {"model": "gpt2-40m", "mean": 40, "batch_size": 2, "max_length": 96},
    {"model": "gpt2-40m", "mean": 40, "batch_size": 2, "max_length": 96, "method": "rslora", "precision": "bf16", "rank": 8},
    {"model": "llama-70m", "mean": 40, "batch_size": 2, "max_length": 96, "precision": "bf16", "steps": 30},
    {"model": "llama-70m", "mean": 30, "batch_size": 2, "max_length": 96, "steps": 30},
    {"model": "smollm2-135m", "mean": 24, "batch_size": 2, "max_length": 64, "precision": "bf16", "steps": 30},
    {"model": "smollm2-135m", "mean": 40, "batch_size": 1, "max_length": 96, "precision": "bf16", "steps": 30, "split": 0.02},
)  # fmt: skip


def main() -> int:
    """Run one half, and print a line a configuration and the errors together."""
    options = parse()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    from peft_studio import Studio

    with tempfile.TemporaryDirectory() as scratch:
        root = options.again or options.keep or Path(scratch)
        studio = Studio(root / "home")
        rows: list[dict[str, float]] = []
        for case in CASES[0 if options.half == "develop" else 1 :: 2]:
            runs = [one_of(studio, root, case, again=bool(options.again)) for _ in range(2 if options.spread else 1)]
            found = [compare(studio, run) for run in runs]
            rows += found[:1]
            apart = f"  two runs {found[1]['actual_s'] / found[0]['actual_s']:.3f}" if options.spread else ""
            print(f"{name_of(case):64} took {found[0]['actual_s']:5.1f} s, training {found[0]['training_s']:5.1f} s; predicted ÷ actual: "
                  f"whole {found[0]['whole']:.3f}, training {found[0]['training']:.3f}, after {AFTER} steps {found[0]['left']:.3f}{apart}", flush=True)  # fmt: skip
    for name, what in (
        ("whole", "before start, whole run"),
        ("training", "before start, training alone"),
        ("left", f"time left after {AFTER} steps"),
    ):
        errors = [abs(row[name] - 1) for row in rows]
        print(f"{what}: mean {statistics.mean(errors):.1%}, worst {max(errors):.1%} of {len(errors)}")
    return 0


def parse() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=("develop", "held-out"))
    parser.add_argument("--spread", action="store_true")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--again", type=Path)
    return parser.parse_args()


def spec_of(studio: Any, root: Path, case: dict[str, Any]) -> Any:
    """The spec of a configuration; model and rows are written on first use."""
    fields = {**COMMON, **case}
    name, mean, split, steps = fields.pop("model"), fields.pop("mean"), fields.pop("split", 0.0), fields.pop("steps")
    model = write_model(name, root / "models" / name)
    count = round(steps * fields["batch_size"] * fields["gradient_accumulation_steps"] / (1 - split))
    path = root / f"rows-{mean}-{count}.jsonl"
    data = studio.data(str(path if path.exists() else write_rows(path, count, mean_tokens=mean)), split=split)
    return studio.spec(model=str(model), data=data, name=name_of(case), **fields)


def one_of(studio: Any, root: Path, case: dict[str, Any], *, again: bool) -> Any:
    """A finished run of a configuration: of the last benchmark that was kept, or a new one."""
    if again:
        return next(run for run in studio.runs(limit=1000) if run.spec.name == name_of(case))
    spec = spec_of(studio, root, case)
    studio.quote(spec)  # measures this machine the first time
    return studio.launch(spec).wait(timeout=300)


def name_of(case: dict[str, Any]) -> str:
    """A configuration in a few words."""
    return " ".join(str(value) if isinstance(value, str) else f"{key}={value}" for key, value in case.items())


def compare(studio: Any, run: Any) -> dict[str, float]:
    """Predicted ÷ actual of a finished run, without what later runs taught."""
    from peft_studio.core.runs.events import Created
    from peft_studio.core.runs.log import read_events
    from peft_studio.core.runs.prediction import save_prediction
    from peft_studio.core.services.device_speed import find_speed
    from peft_studio.core.services.outcomes import measure
    from peft_studio.core.services.quote import build_quote, find_place

    events = read_events(run.folder.events)
    assert isinstance(events[0], Created)
    actual = measure(events, run.folder)
    quote = build_quote(run.spec, studio.home, find_place("local", speed=find_speed(studio.home)))
    save_prediction(run.folder, quote.prediction)  # kept runs are predicted anew
    duration = quote.duration
    assert duration is not None
    left = {"value": float("nan"), **left_after(run, events)}
    return {
        "actual_s": actual.total_s, "training_s": actual.seconds["training"], "whole": float(duration.value) / actual.total_s,
        "training": float(duration.parts["training"]) / actual.seconds["training"], "left": left["value"],
    }  # fmt: skip


def left_after(run: Any, events: list[Any]) -> dict[str, float]:
    """Time left as it was told after ``AFTER`` steps ÷ as it came to be."""
    from peft_studio.core.runs.left import find_left
    from peft_studio.core.runs.metrics import read_metrics
    from peft_studio.core.runs.pace import Pace
    from peft_studio.core.runs.state import fold

    rows = [row for row in read_metrics(run.folder.metrics) if row.step <= AFTER]
    at = rows[-1].at
    pace = Pace()
    pace.add(rows)
    told = find_left(run.folder, fold(event for event in events if event.at <= at), run.spec, pace=pace, step=AFTER)
    return {"value": told.value_s / (events[-1].at - at)} if told else {}


if __name__ == "__main__":
    sys.exit(main())
