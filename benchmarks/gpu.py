"""What estimates said and what an NVIDIA GPU then did: memory and time of real runs through ``studio.launch``.

    python benchmarks/gpu.py [WORD …] [--scratch FOLDER]      configurations with one of the words in their name; all without

Weights are random, in the shapes of SmolLM2-135M, Llama 3.2 1B and Llama 3.1 8B: neither values nor words decide memory or time. The
folder holds up to 20 GB; one in memory (``/dev/shm``) is quickest. Of a run's memory the allocator's peak is measured by its probe,
all that the driver shows by the agent, every two seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from random_models import write_model, write_rows

from peft_studio.core.device import find_device

CHECKPOINTED = {"gradient_checkpointing": True}
CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("smollm2-135m", "lora", {"batch_size": 8, "max_length": 512}),
    ("smollm2-135m", "qlora", {"batch_size": 8, "max_length": 512, "gradient_checkpointing": False}),
    ("llama-1b", "lora", {"batch_size": 4, "max_length": 1024, "gradient_checkpointing": False}),
    ("llama-1b", "lora", {"batch_size": 4, "max_length": 1024, **CHECKPOINTED}),
    ("llama-1b", "qlora", {"batch_size": 4, "max_length": 1024, **CHECKPOINTED}),
    ("llama-8b", "lora", {"batch_size": 1, "max_length": 2048, "gradient_checkpointing": False}),
    ("llama-8b", "lora", {"batch_size": 2, "max_length": 2048, **CHECKPOINTED}),
    ("llama-8b", "qlora", {"batch_size": 2, "max_length": 2048, **CHECKPOINTED}),
)
STEPS = 40  # the fewest for which a run is probed
GIB = 2.0**30


def main() -> int:
    """Run each, print a line each, and how far off it all was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    if find_device().kind != "cuda":
        parser.error("this machine has no NVIDIA GPU")
    print(f"{find_device().name}; GiB: estimate (its range), allocated by torch, all that the driver shows")
    found = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        for case in CASES:
            if not options.words or any(word in name_of(case) for word in options.words):
                found.append(measure(Path(scratch), case))
    for what in ("memory", "time"):
        errors = [abs(one[what] - 1) for one in found]
        print(
            f"{what}, estimate ÷ actual: mean {statistics.mean(errors):.1%} off, worst {max(errors):.1%} of {len(errors)}"
        )
    return 0


def measure(root: Path, case: tuple[str, str, dict[str, Any]]) -> dict[str, float]:
    """Estimate, run and compare one configuration."""
    from peft_studio import Studio
    from peft_studio.core.runs.log import read_events
    from peft_studio.core.runs.metrics import read_metrics
    from peft_studio.core.services.outcomes import measure as measure_run

    name, method, fields = case
    studio = Studio(root / "home")
    model = write_model(name, root / name, device="cuda")
    tokens = fields["batch_size"] * fields["max_length"]
    rows = root / f"{tokens}.jsonl"
    if not rows.exists():  # a token is a byte: most rows are as long as they may be
        write_rows(rows, STEPS * fields["batch_size"], mean_tokens=2 * fields["max_length"])
    spec = studio.spec(
        model=str(model), data=str(rows), method=method, max_steps=STEPS, gradient_accumulation_steps=1, save_steps=STEPS,
        assistant_only_loss=False, **fields,
    )  # fmt: skip
    before = driver_bytes()
    quote = studio.quote(spec)
    run = studio.launch(spec).wait(timeout=300)
    probe = run.read()[0].probe
    seconds = measure_run(read_events(run.folder.events), run.folder).seconds
    shown = max(row.values.get("gpu_memory_bytes", 0.0) for row in read_metrics(run.folder.system)) - before
    steps = run.metrics().dropna(subset=["loss"])
    training_s = float(steps["time_s"].iloc[-1] - steps["time_s"].iloc[0])
    speed = float(steps["tokens"].iloc[-1] - steps["tokens"].iloc[0]) / training_s
    memory, duration = quote.memory, quote.duration
    assert memory
    assert duration
    assert probe
    assert probe.allocated_bytes, "it did not train on a GPU"
    time_ratio = float(duration.parts["training"]) / seconds["training"]
    print(
        f"{name_of(case):60} {memory.value / GIB:5.1f} ({memory.low / GIB:.1f}–{memory.high / GIB:.1f}), {probe.allocated_bytes / GIB:.1f}, {shown / GIB:.1f}; "
        f"{memory.value / shown:.2f}; training {float(duration.parts['training']):.1f} s estimated, {seconds['training']:.1f} taken: {time_ratio:.2f}; "
        f"{speed:,.0f} tokens/s; seconds {', '.join(f'{key} {value:.1f}' for key, value in seconds.items())}",
        flush=True,
    )
    return {"memory": memory.value / shown, "time": time_ratio}


def name_of(case: tuple[str, str, dict[str, Any]]) -> str:
    """A configuration in a few words."""
    model, method, fields = case
    kept = "checkpointed" if fields.get("gradient_checkpointing") else "not checkpointed"
    return f"{model} {method} {fields['batch_size']} × {fields['max_length']} {kept}"


def driver_bytes() -> float:
    """What all programs hold of the card now."""
    import subprocess

    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]) * 2**20


if __name__ == "__main__":
    sys.exit(main())
