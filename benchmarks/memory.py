"""How far estimates of memory are from what training really takes.

    python benchmarks/memory.py                    the tables: every estimate against the recorded truth, in seconds
    python benchmarks/memory.py --record [WORD]    measure what is missing, of configurations with WORD in their name (half an hour for all)
    python benchmarks/memory.py --fitcheck PYTHON  record what fitcheck-llm says, run by a Python that has it

``memory_truth.json`` holds the truth with how and where it was measured: bytes of live tensors, counted operation by operation around the
real steps of the runner's own Job, and for some configurations resident memory in a process that counts nothing. To measure a
configuration again, take its row out of that file. ``memory_peft_runs.json`` holds the published runs on a GPU that a run spec can express.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from memory_cases import MODELS, Case, build_cases, digest_of, is_held_out, name_of
from memory_table import print_tables

ROOT = Path(__file__).resolve().parent.parent
TRUTH = ROOT / "benchmarks" / "memory_truth.json"
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")
RESIDENT_EVERY = 4  # of the configurations: each takes two fresh processes


def main(argv: list[str]) -> int:
    """Record or print."""
    truth = json.loads(TRUTH.read_text()) if TRUTH.exists() else {"rows": {}}
    if argv[:1] == ["--record"]:
        record(truth, argv[1] if len(argv) > 1 else "")
    elif argv[:1] == ["--fitcheck"]:
        record_fitcheck(truth, argv[1])
    else:
        print_tables(truth)
    return 0


def record(truth: dict[str, Any], wanted: str) -> None:
    """Measure what is missing, and write the fixture after every configuration."""
    truth["measured"] = describe_machine()
    truth["models"] = {name: {"model_type": family, **fields} for name, (family, fields) in MODELS.items()}
    cases = [case for case in build_cases() if wanted in name_of(case)]
    cases.sort(
        key=lambda case: (case["model"] == "smollm2-135m", digest_of(case)[1:])
    )  # the slow ones last, both halves alike
    with tempfile.TemporaryDirectory() as models:
        measure_missing(truth, cases, models, what="live", field="live")
        for case in cases:
            row = truth["rows"].get(name_of(case), {})
            if digest_of(case)[2] % RESIDENT_EVERY == 0 and "live" in row and "resident" not in row:
                (fixed,) = answer("resident", [case], models, **ALLOCATOR)
                (default,) = answer("resident", [case], models)
                keep(truth, case, {**fixed, "resident_default": default.get("resident")})
        measure_missing(truth, cases, models, what="dry", field="dry_run")


def measure_missing(truth: dict[str, Any], cases: list[Case], models: str, *, what: str, field: str) -> None:
    """Ask for what no row has yet, in one process that forks."""
    missing = [case for case in cases if field not in truth["rows"].get(name_of(case), {})]
    for case, found in zip(missing, answer(what, missing, models), strict=True):
        keep(truth, case, found)


def keep(truth: dict[str, Any], case: Case, found: dict[str, Any]) -> None:
    """Add to a row, and write."""
    truth["rows"].setdefault(name_of(case), {"case": case, "held_out": is_held_out(case)}).update(found)
    TRUTH.write_text(json.dumps(truth, indent=1) + "\n")
    print(name_of(case), found, flush=True)


def answer(what: str, cases: list[Case], models: str, **environment: str) -> Iterator[dict[str, Any]]:
    """An answer for each case, as they come."""
    if not cases:
        return
    command = [sys.executable, str(ROOT / "benchmarks" / "memory_measure.py"), what, models]
    with tempfile.TemporaryFile("w+") as asked:
        asked.write("".join(json.dumps(case) + "\n" for case in cases))
        asked.seek(0)
        with subprocess.Popen(
            command, stdin=asked, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        ) as process:  # fmt: skip
            assert process.stdout
            yield from map(json.loads, process.stdout)


def record_fitcheck(truth: dict[str, Any], python: str) -> None:
    """Ask fitcheck of every measured configuration."""
    from memory_table import shapes_of

    cases = [case for case in build_cases() if name_of(case) in truth["rows"]]
    lines = []
    for case in cases:
        family, fields = MODELS[case["model"]]
        targets = sorted({one.name for one in shapes_of(case["model"]).targets(case["target_modules"])})
        lines.append(json.dumps({"config": {"model_type": family, **fields}, "case": case, "targets": targets}))
    rivals = str(ROOT / "benchmarks" / "memory_rivals.py")
    done = subprocess.run([python, rivals], input="\n".join(lines), capture_output=True, text=True, check=True)
    for case, line in zip(cases, done.stdout.splitlines(), strict=True):
        truth["rows"][name_of(case)]["fitcheck"] = json.loads(line)
    TRUTH.write_text(json.dumps(truth, indent=1) + "\n")


def describe_machine() -> dict[str, Any]:
    """Where and how: memory does not depend on speed, but it does on versions and on the allocator."""
    return {
        "date": date.today().isoformat(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        "live": "bytes of all storages alive at the peak of two optimizer steps, counted by a TorchDispatchMode",
        "resident": f"VmHWM of the training steps, with {' '.join(f'{k}={v}' for k, v in ALLOCATOR.items())}",
        "resident_default": "the same with glibc's own settings",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
