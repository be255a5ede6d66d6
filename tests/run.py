"""Runs the checks in order and stops at the first that fails. ``check`` is all but the slow tests, ``all`` adds those,
``stress`` has what they leave out: the long series of kills and resumes.

pytest runs last and prints the closing line.
"""

from __future__ import annotations

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
# Most tests wait for processes or a browser of their own, so three go on at once on two cores. tests/conftest.py says which share a worker.
THREE_AT_ONCE = ["-n", "3", "--dist", "loadscope", "--no-loadscope-reorder", "--max-worker-restart", "0"]
TESTS = {
    "check": ["-m", "not slow"],
    "all": ["-m", "not stress"],
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
    return subprocess.run([sys.executable, "-m", "pytest", *THREE_AT_ONCE, *TESTS[what]], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
