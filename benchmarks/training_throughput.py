"""Real tokens a second of LoRA training: ours against bare scripts of Trainer + peft, TRL and Unsloth, on the same job.

    python benchmarks/training_throughput.py --model FOLDER [--precision auto] [--loss both] [--rounds 3] [--steps 6]
    python benchmarks/training_throughput.py --make-unsloth-env DIR        # once: its pins conflict with ours
    python benchmarks/training_throughput.py --model FOLDER --unsloth-python DIR/bin/python

Every contender is a process of its own (``training_contenders.py``), fed the same token ids in the same order, and timed by a
Trainer callback from the beginning of a step to its end; the first step is dropped. Rounds are interleaved. Tokens are those of
the rows, never padding. On a machine that others use too, ``--clock cpu`` measures CPU seconds of one thread instead.
``--model`` is a folder with safetensors, such as ``python -m peft_studio.runner prepare smollm2-135m`` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training_contenders import CONTENDERS, build_conversations, build_rows, padding_share

from peft_studio.core.device import find_device


def measure(name: str, job_file: Path, python: str, *, threads: int) -> dict[str, Any] | None:
    """Run one contender in its own process; None, with its words on stderr, if it failed."""
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
    }
    done = subprocess.run(
        [python, str(Path(__file__).with_name("training_contenders.py")), name, str(job_file)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        print(f"{name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def show(results: dict[str, list[dict[str, Any]]], tokens: list[int]) -> None:
    """Print the table: median tokens/s over rounds, ratio to the fastest peer, and the loss curves."""
    speeds = {
        name: [sum(tokens[1:]) / sum(run["seconds"][1:]) for run in runs] for name, runs in results.items() if runs
    }
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    peers = {name: value for name, value in medians.items() if not name.startswith("ours")}
    best = max(peers, key=lambda name: peers[name]) if peers else next(iter(medians))
    reference = results["trainer"][0]["losses"] if results.get("trainer") else None
    print(
        f"| contender | tok/s median (min–max) | vs {best} | per round | fastest step | losses | max difference from trainer |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, values in sorted(speeds.items(), key=lambda item: medians[item[0]]):
        losses = results[name][0]["losses"]
        apart = f"{max(abs(a - b) for a, b in zip(losses, reference, strict=True)):.4f}" if reference else "—"
        quickest = max(n / s for run in results[name] for n, s in zip(tokens[1:], run["seconds"][1:], strict=True))
        rounds = " ".join(f"{a / b:.2f}" for a, b in zip(values, speeds[best], strict=False))
        print(
            f"| {name} | {medians[name]:.0f} ({min(values):.0f}–{max(values):.0f}) | {medians[name] / medians[best]:.2f} | {rounds} | {quickest:.0f} "
            f"| {' '.join(f'{loss:.3f}' for loss in losses)} | {apart} |"
        )


def show_monitoring(results: dict[str, list[dict[str, Any]]], rows: list[dict[str, list[int]]]) -> None:
    """Print what watching costs: CPU of the agent's process, and what a step's bookkeeping takes inside the trainer's."""
    shares = [run["agent_share"] for run in results.get("ours", []) if run["agent_share"] is not None]
    if not shares:
        return
    step_s = statistics.median(seconds for run in results["ours"] for seconds in run["seconds"][1:])
    inside = bookkeeping_s(rows)
    total = statistics.median(shares) / (os.cpu_count() or 1) + inside / step_s
    print(
        f"\nmonitoring: agent {statistics.median(shares):.2%} of one core, bookkeeping {inside * 1e6:.0f} µs of a step of {step_s:.2f} s; "
        f"together {total:.2%} of the machine (goal ≤ 0.5 %: {'met' if total <= 0.005 else 'MISSED'})"
    )


def bookkeeping_s(rows: list[dict[str, list[int]]], *, steps: int = 2000) -> float:
    """Seconds a step that the trainer's monitor takes: tokens counted, a row written, rules asked, stop looked for."""
    from peft_studio.core.runs.anomalies import AnomalyWatch
    from peft_studio.core.runs.metrics import MetricsWriter
    from peft_studio.core.spec import DataRef, RunSpec
    from peft_studio.runner.trainer.fast import FlatCollator
    from peft_studio.runner.trainer.monitor import Monitor

    channel = SimpleNamespace(stop_requested=threading.Event(), orphaned=threading.Event(), send=print)
    monitor, inputs = Monitor(channel), FlatCollator(share_prefix=True)(rows[:4])  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        monitor.metrics = MetricsWriter(Path(folder, "metrics"))
        spec = RunSpec(model="m", data=DataRef.model_construct(), max_steps=steps)
        watch = AnomalyWatch(spec, total_steps=10 * steps, vocabulary=49152, train_rows=1000)
        monitor.start(watch, step=0, checkpoint=None, past=())
        began = time.perf_counter()
        for step in range(1, steps + 1):
            monitor.count_tokens(inputs)
            monitor.log_step(step, {"loss": 2.0 - step / steps, "grad_norm": 0.5, "learning_rate": 2e-4}, last=False)
            monitor.should_stop()
        return (time.perf_counter() - began) / steps


def compete(options: argparse.Namespace, *, completion_only: bool) -> None:
    """Run all rounds of one job and print its table."""
    batch = options.batch
    conversations = build_conversations(batch * options.steps, records=options.records)
    rows = build_rows(options.model, conversations, completion_only=completion_only, max_length=options.max_length)
    tokens = [sum(len(row["input_ids"]) for row in rows[at : at + batch]) for at in range(0, len(rows), batch)]
    kind = "completion-only loss" if completion_only else "full-sequence loss"
    trained = sum(label != -100 for row in rows for label in row["labels"]) / sum(tokens)
    print(
        f"\n{kind}: {options.precision}, batch {batch}, {options.steps} steps, {options.rounds} rounds, "
        f"{options.clock} clock, {options.threads} threads, {statistics.mean(tokens):.0f} tokens a step, {padding_share(rows, batch):.0%} padding if padded, {trained:.0%} of tokens trained\n"
    )
    pythons = {"unsloth": options.unsloth_python}
    names = [name for name in options.contenders if name != "unsloth" or options.unsloth_python]
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        job_file = Path(folder, "job.json")
        job = {
            "model": options.model,
            "precision": options.precision,
            "steps": options.steps,
            "batch": batch,
            "max_length": options.max_length,
            "rows": rows,
            "conversations": conversations,
            "completion_only": completion_only,
            "clock": options.clock,
            "threads": options.threads,
        }
        job_file.write_text(json.dumps(job))
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                result = measure(name, job_file, pythons.get(name) or sys.executable, threads=options.threads)
                if result:
                    results[name].append(result)
                    speed = sum(tokens[1:]) / sum(result["seconds"][1:])
                    print(f"round {number + 1}, {name}: {speed:.0f} tok/s", file=sys.stderr, flush=True)
    show(results, tokens)
    show_monitoring(results, rows)


def make_unsloth_env(folder: Path) -> None:
    """Build Unsloth's environment. Its metadata asks for torchvision and xformers, which have no CPU build, so it comes without
    its dependencies and what it really imports is named here; torch is pinned, or pip would fall back to a release of 2024."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pinned = ["torch==2.13.0", "transformers==5.17.0", "trl==1.15.0", "datasets>=4.2,<5,!=4.4.*,!=4.5.0", "peft>=0.18"]
    needed = [
        "accelerate",
        "bitsandbytes",
        "diffusers",
        "hf_transfer",
        "json5",
        "msgspec",
        "nest-asyncio",
        "pillow",
        "protobuf",
    ]
    needed += [
        "psutil",
        "regex",
        "rich",
        "sentencepiece",
        "setuptools",
        "structlog",
        "triton>=3",
        "typer",
        "tyro",
        "wheel",
    ]
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--upgrade", "pip"], check=True)
    subprocess.run([*install, *pinned, *needed], check=True)
    subprocess.run(
        [*install, "--no-deps", "unsloth==2026.10.9", "unsloth_zoo==2026.10.9", "cut_cross_entropy"], check=True
    )


def main() -> None:
    """Measure, or build Unsloth's environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of the base model")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--loss", choices=("both", "full", "completion"), default="both")
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps of a process; the first is dropped")
    parser.add_argument("--batch", type=int, default=4, help="rows a step")
    parser.add_argument("--records", type=int, default=3, help="most records in a row, of about 40 tokens each")
    parser.add_argument("--max-length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU seconds, with one thread")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--unsloth-python", help="interpreter of the environment made by --make-unsloth-env")
    parser.add_argument("--make-unsloth-env", type=Path, metavar="DIR")
    options = parser.parse_args()
    if options.make_unsloth_env:
        make_unsloth_env(options.make_unsloth_env)
    elif not options.model:
        parser.error("--model is needed")
    else:
        options.threads = 1 if options.clock == "cpu" else os.cpu_count() or 1
        if options.precision == "auto":
            options.precision = (
                "bf16" if find_device().bf16 else "fp32"
            )  # without hardware bf16 is 5 to 70 times slower
        for completion_only in {"both": (False, True), "full": (False,), "completion": (True,)}[options.loss]:
            compete(options, completion_only=completion_only)


if __name__ == "__main__":
    main()
