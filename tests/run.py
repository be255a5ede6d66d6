"""Runs the checks in order and stops at the first that fails. ``check`` is all but the slow tests, ``all`` adds those,
``stress`` has what they leave out: the long series of kills and resumes.

pytest runs last and prints the closing line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

QUICK = (
    ("style", [str(BIN / "ruff"), "check", "-q", "."]),
    ("layout", [str(BIN / "ruff"), "format", "-q", "--check", "."]),
    ("types", [str(BIN / "mypy"), "--no-error-summary"]),
    ("import contracts", [str(BIN / "lint-imports"), "--no-cache"]),
)
# Most tests wait for processes or a browser of their own, so more go on at once than there are cores. tests/conftest.py says which share a worker.
AT_ONCE = [
    "-n",
    str(min(6, max(3, os.cpu_count() or 1))),
    "--dist",
    "loadscope",
    "--no-loadscope-reorder",
    "--max-worker-restart",
    "0",
]
TESTS = {
    "check": ["-m", "not slow and not stress"],
    "all": ["-m", "not stress", "--durations=30"],
    "stress": ["-m", "stress"],
}


def main(what: str) -> int:
    """Run the checks; return the first status that is not 0."""
    for name, command in QUICK:
        print(f"— {name}", flush=True)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout, done.stderr, sep="\n")
            return done.returncode
    print("— tests", flush=True)
    return subprocess.run([sys.executable, "-m", "pytest", *AT_ONCE, *TESTS[what]], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
