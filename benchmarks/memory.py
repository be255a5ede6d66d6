"""How far estimates of memory are from what training really takes.

python benchmarks/memory.py                the table: every estimate against the recorded truth, in seconds
python benchmarks/memory.py --record       measure the truth again (half an hour); --record NAME: only what has NAME in its name
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from memory_cases import Case, build_cases, digest_of, is_held_out, name_of

ROOT = Path(__file__).resolve().parent.parent
TRUTH = ROOT / "benchmarks" / "memory_truth.json"
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def main(argv: list[str]) -> int:
    """Record or print."""
    if argv[:1] == ["--record"]:
        record(argv[1] if len(argv) > 1 else "")
    return 0


def record(wanted: str) -> None:
    """Measure what is wanted, the tuned half first, and write the fixture after every configuration."""
    truth = json.loads(TRUTH.read_text()) if TRUTH.exists() else {}
    truth = {"measured": describe_machine(), "rows": truth.get("rows", {})}
    cases = [
        case for case in build_cases() if wanted in name_of(case) and "live" not in truth["rows"].get(name_of(case), {})
    ]
    cases.sort(key=lambda case: (is_held_out(case), digest_of(case)))
    with tempfile.TemporaryDirectory() as models:
        for case, found in zip(cases, answer("live", cases, models), strict=True):
            name = name_of(case)
            row = truth["rows"].setdefault(name, {}) | found
            truth["rows"][name] = row
            print(name, found, flush=True)
            TRUTH.write_text(json.dumps(truth, indent=1) + "\n")


def answer(what: str, cases: list[Case], models: str, **environment: str) -> Any:
    """An answer for each case, as they come."""
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


def describe_machine() -> dict[str, Any]:
    return {"date": date.today().isoformat()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
