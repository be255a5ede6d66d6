"""How long it takes from a long run on disk to the numbers of its first chart: ours against trackio's read-back.

    python benchmarks/open_run.py --make-env DIR       once: a virtual environment with trackio (never the project's own)
    python benchmarks/open_run.py --env DIR            measure

The run has a million numbers: 200,000 steps of five (loss, grad_norm, learning_rate, tokens, time_s). Ours takes the
summary that the writer keeps beside the file, reads and checks the rows since, joins all to at most a thousand buckets and makes
the bytes that go to the browser; ``rows`` is the same without a summary, with the whole file read and checked. trackio's dashboard
asks its store for at most a thousand points. Each round takes a fresh process for each, in turn; the files are in the page cache:

    read       the first look at this run by a process that has looked at others before, as a kernel has
    fresh      the first look at this run by a new process, with all that has to be imported for it

Printed too, for ours alone: the same with a million steps. Goals: 100× sooner than trackio (read), at most 10 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POINTS, STEPS, MANY = 1000, 200_000, 1_000_000
GOAL_RATIO, GOAL_MS = 100.0, 10.0

ROW = "dict(loss=2.0 / step + 0.01 * (step % 7), grad_norm=0.5 + step % 3, learning_rate=2e-4, tokens=1180.0 * step, time_s=0.1 * step)"
WRITE = {
    "PEFT Studio": f"""
from peft_studio.core.runs.metrics import MetricsWriter
writer = MetricsWriter(folder / name)
for step in range(1, steps + 1):
    writer.log(step, **{ROW})
""",
    "trackio": f"""
from trackio.sqlite_storage import SQLiteStorage
for first in range(1, steps + 1, 1000):
    some = range(first, min(first + 1000, steps + 1))
    SQLiteStorage.bulk_log(name, "run", [{ROW} for step in some], steps=list(some))
""",
}
READ = {
    "PEFT Studio": """
def look(name):
    from peft_studio.widgets._losses import Loss
    loss = Loss(folder / name)
    loss.read()
    return len(loss.curve.encode()) // 72, loss.curve.last_step
""",
    "trackio": f"""
def look(name):
    from trackio.sqlite_storage import SQLiteStorage
    rows = SQLiteStorage.get_logs(name, "run", max_points={POINTS})
    return len(rows), rows[-1]["step"]
""",
}
START = "import json, sys, time\nfrom pathlib import Path\nfolder, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n"
TIMED = """
began = time.perf_counter()
if steps:
    look("short"), look("long0")
    began = time.perf_counter()
points, last = look(name)
print("RESULT", json.dumps([time.perf_counter() - began, points, last]))
"""


class Reader:
    """One of the two, with the interpreter that has it."""

    def __init__(self, name: str, env: Path, folder: Path) -> None:
        self.name, self.folder = name, folder / name.replace(" ", "-")
        self.folder.mkdir()
        self._python = sys.executable if name == "PEFT Studio" else str(env / "bin" / "python")

    def write(self, name: str, steps: int) -> None:
        """Make a run of so many steps."""
        self._run(START + WRITE[self.name], name, steps)

    def look(self, name: str, *, fresh: bool) -> float:
        """Milliseconds of a first look."""
        out = self._run(START + READ[self.name] + TIMED, name, 0 if fresh else 1)
        seconds, points, last = json.loads(out.split("RESULT", 1)[1])
        if not POINTS // 2 <= points <= POINTS + 1 or last < STEPS:
            raise SystemExit(f"{self.name} gave {points} points up to step {last}")
        return float(seconds) * 1000

    def _run(self, code: str, name: str, steps: int) -> str:
        env = {**os.environ, "TRACKIO_DIR": str(self.folder), "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False",
               "PYTHONPATH": str(ROOT)}  # fmt: skip
        command = [self._python, "-c", code, str(self.folder), name, str(steps)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise SystemExit(f"{self.name} did not finish:\n{done.stderr[-3000:]}")
        return done.stdout


def measure(env: Path, rounds: int) -> int:
    """Print the table; exit status 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        readers = [Reader(one, env, Path(name)) for one in READ]
        for reader in readers:
            for run, steps in (("short", 50), ("long0", STEPS), ("long", STEPS)):
                reader.write(run, steps)
        shutil.copy(readers[0].folder / "long", readers[0].folder / "rows")  # without its summary
        readers[0].write("many", MANY)
        taken: dict[str, dict[str, list[float]]] = {
            reader.name: {"read": [], "fresh": [], "rows": [], "many": []} for reader in readers
        }
        for _ in range(rounds):
            for reader in readers:
                taken[reader.name]["read"].append(reader.look("long", fresh=False))
                taken[reader.name]["fresh"].append(reader.look("long", fresh=True))
            taken[readers[0].name]["rows"].append(readers[0].look("rows", fresh=False))
            taken[readers[0].name]["many"].append(readers[0].look("many", fresh=False))
    ours, theirs = taken["PEFT Studio"], taken["trackio"]
    print(
        f"{'':24}{'PEFT Studio ms':>16}{'trackio ms':>12}{'ratio':>8}   medians of {rounds} rounds, fastest in brackets"
    )
    for kind in ("read", "fresh"):
        mine, other = statistics.median(ours[kind]), statistics.median(theirs[kind])
        print(f"{kind:24}{mine:8.1f} ({min(ours[kind]):.1f}){other:12.0f}{other / mine:7.0f}×")
    rows, many = ours["rows"], ours["many"]
    print(f"{'every row, read':24}{statistics.median(rows):8.1f} ({min(rows):.1f})")
    print(f"{'a million steps, read':24}{statistics.median(many):8.1f} ({min(many):.1f})")
    mine, ratio = statistics.median(ours["read"]), statistics.median(theirs["read"]) / statistics.median(ours["read"])
    good = ratio >= GOAL_RATIO and mine <= GOAL_MS
    print(f"goal ≥ {GOAL_RATIO:g}× and ≤ {GOAL_MS:g} ms (read): {'met' if good else 'MISSED'}")
    return 0 if good else 1


def main() -> int:
    """Make the environment, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-env", type=Path, metavar="DIR")
    parser.add_argument("--env", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    if given.make_env:
        subprocess.run([sys.executable, "-m", "venv", str(given.make_env)], check=True)
        subprocess.run([str(given.make_env / "bin" / "python"), "-m", "pip", "install", "-q", "trackio"], check=True)
        given.env = given.env or given.make_env
    if given.env is None:
        parser.error("--env DIR or --make-env DIR")
    return measure(given.env.resolve(), given.rounds)


if __name__ == "__main__":
    sys.exit(main())
