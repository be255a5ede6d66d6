"""What it costs to log a row of metrics, and what a SIGKILL takes: ours against trackio and wandb offline.

    python benchmarks/metric_log.py --make-env DIR       once: a virtual environment with trackio and wandb (never the project's own)
    python benchmarks/metric_log.py --env DIR            measure

A row has a step and five numbers (loss, grad_norm, learning_rate, tokens, time_s). Each library runs in a process of its own, all of
them in turn each round. Cost: mean time of one call, flushing at the end not included, in the least disturbed of the rounds; what it may hide in
threads shows as CPU time a call, of the whole process. Bytes: growth of everything under the library's folder over the rows. Loss: the
child writes the step to a pipe with ``os.write`` after each call has returned; the parent kills it at a random step; what of the
acknowledged steps cannot be read back afterwards by the library's own means is lost. Goal: 5× cheaper than the best peer, none lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("trackio", "wandb")
GOAL = 5.0
QUIET = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DISABLE_GIT": "true", "WANDB_ERROR_REPORTING": "false",
         "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False"}  # fmt: skip

# ``begin(folder)`` gives a function that logs one row; ``end()`` makes everything durable. The same work for all three.
LOGGERS = {
    "PEFT Studio": """
from peft_studio.core.runs.metrics import MetricsWriter
def begin(folder):
    writer = MetricsWriter(folder / "metrics")
    global end
    end = writer.close
    return lambda step, row: writer.log(step, **row)
""",
    "trackio": """
import contextlib, io
import trackio
def begin(folder):
    with contextlib.redirect_stdout(io.StringIO()):
        run = trackio.init(project="bench", name="run")
    global end
    def end():
        with contextlib.redirect_stdout(io.StringIO()):
            trackio.finish()
    return lambda step, row: trackio.log(row, step=step)
""",
    "wandb offline": """
import wandb
def begin(folder):
    run = wandb.init(project="bench", dir=str(folder), mode="offline")
    global end
    end = run.finish
    return lambda step, row: run.log(row, step=step)
""",
}
COST = """
import json, os, sys, time
from pathlib import Path
folder, rows = Path(sys.argv[1]), int(sys.argv[2])
LOGGER
log = begin(folder)
def row(step):
    return dict(loss=1.0 / step, grad_norm=0.5 + 1.0 / step, learning_rate=2e-4, tokens=1180.0 * step, time_s=0.1 * step)
for step in range(1, 51):
    log(step, row(step))
made = [row(step) for step in range(51, 51 + rows)]
cpu, began = time.process_time(), time.perf_counter()
for step, values in enumerate(made, 51):
    log(step, values)
took, cpu = time.perf_counter() - began, time.process_time() - cpu
end()
print("RESULT", json.dumps({"call_s": took / rows, "cpu_s": cpu / rows}))
"""
KILLED = """
import os, sys
from pathlib import Path
out = os.dup(1); os.dup2(2, 1)
folder = Path(sys.argv[1])
LOGGER
log, step = begin(folder), 0
while True:
    step += 1
    log(step, dict(loss=1.0 / step, grad_norm=0.5, learning_rate=2e-4, tokens=1180.0 * step, time_s=0.1 * step))
    os.write(out, b"%d\\n" % step)
    PACE
"""
# Prints the steps that can be read back, each with its loss, as JSON.
READERS = {
    "PEFT Studio": """
from peft_studio.core.runs.metrics import read_metrics
found = {row.step: row.values["loss"] for row in read_metrics(folder / "metrics")}
""",
    "trackio": """
import sqlite3
found = {}
for path in folder.rglob("*.db"):
    rows = sqlite3.connect(path)
    if not rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'metrics'").fetchone():
        continue  # killed before its first batch
    for step, text in rows.execute("SELECT step, metrics FROM metrics"):
        found[step] = json.loads(text).get("loss")
""",
    "wandb offline": """
import struct
from wandb.proto import wandb_internal_pb2 as pb
def records(data):  # LevelDB's log format: blocks of 32 KiB; a record is crc u32, length u16, type u8 (1 whole, 2 first, 3 middle, 4 last)
    at, parts = 7, b""
    while at < len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        if at + 7 > len(data):
            return
        _, length, kind = struct.unpack_from("<IHB", data, at)
        if kind not in (1, 2, 3, 4) or at + 7 + length > len(data):
            return
        piece, at = data[at + 7 : at + 7 + length], at + 7 + length
        parts = piece if kind in (1, 2) else parts + piece
        if kind in (1, 4):
            yield parts
found = {}
for path in folder.rglob("*.wandb"):
    for data in records(path.read_bytes()):
        record = pb.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item}
            found[int(items["_step"])] = items.get("loss")
""",
}
READ = "import json, sys\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\nREADER\nprint(json.dumps(found))\n"


class Library:
    """One of the three, with the interpreter that has it."""

    def __init__(self, name: str, env: Path) -> None:
        self.name = name
        self.python = sys.executable if name == "PEFT Studio" else str(env / "bin" / "python")

    def _environment(self, folder: Path) -> dict[str, str]:
        return {**os.environ, **QUIET, "TRACKIO_DIR": str(folder), "WANDB_DIR": str(folder), "HF_HOME": str(folder / "hf"),
                "PYTHONPATH": str(ROOT)}  # fmt: skip

    def cost(self, rows: int) -> dict[str, float]:
        """Seconds and CPU seconds a call, bytes a row."""
        sizes, found = [], {}
        for count in (1, rows):  # the difference leaves out what a run costs once
            with tempfile.TemporaryDirectory() as name:
                found = self._measure(Path(name), count)
                sizes.append(_size(Path(name)))
        return {**found, "bytes": (sizes[1] - sizes[0]) / (rows - 1)}

    def _measure(self, folder: Path, rows: int) -> dict[str, float]:
        code = COST.replace("LOGGER", LOGGERS[self.name])
        done = subprocess.run(
            [self.python, "-c", code, str(folder), str(rows)],
            env=self._environment(folder),
            capture_output=True,
            text=True,
            timeout=600,
        )
        line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
        if line is None:
            raise SystemExit(f"{self.name} did not finish:\n{done.stderr[-3000:]}")
        found: dict[str, float] = json.loads(line.removeprefix("RESULT"))
        return found

    def kill(self, least: int, *, pace_s: float) -> tuple[int, int, int]:
        """Log, and be killed once step ``least`` is acknowledged: steps acknowledged, of them lost, of them wrong."""
        pace = f"import time; time.sleep({pace_s})" if pace_s else "pass"
        code = KILLED.replace("LOGGER", LOGGERS[self.name]).replace("PACE", pace)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            acknowledged = 0
            with subprocess.Popen(
                [self.python, "-c", code, name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._environment(folder),
                start_new_session=True,
            ) as child:  # fmt: skip
                assert child.stdout
                for line in child.stdout:
                    acknowledged = int(line)
                    if acknowledged == least:
                        os.killpg(child.pid, signal.SIGKILL)
            found = self._read(folder)
        lost = sum(step not in found for step in range(1, acknowledged + 1))
        wrong = sum(abs(loss - 1.0 / step) > 1e-12 for step, loss in found.items() if step <= acknowledged)
        return acknowledged, lost, wrong

    def _read(self, folder: Path) -> dict[int, float]:
        code = READ.replace("READER", READERS[self.name])
        done = subprocess.run(
            [self.python, "-c", code, str(folder)], env=self._environment(folder), capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"what {self.name} wrote could not be read:\n{done.stderr[-3000:]}")
        return {int(step): loss for step, loss in json.loads(done.stdout.splitlines()[-1]).items()}


def _size(folder: Path) -> int:
    return sum(
        path.lstat().st_size
        for path in folder.rglob("*")
        if path.is_file() and "hf" not in path.relative_to(folder).parts
    )


def make_env(env: Path) -> None:
    """A virtual environment with the peers."""
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    subprocess.run([str(env / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES], check=True)


def measure(env: Path, *, rounds: int, rows: int, kills: int) -> int:
    """Print the table; exit status 1 when the goal is missed."""
    libraries = [Library(name, env) for name in LOGGERS]
    costs: dict[str, list[dict[str, float]]] = {library.name: [] for library in libraries}
    for _ in range(rounds):
        for library in libraries:
            costs[library.name].append(library.cost(rows if library.name == "PEFT Studio" else max(200, rows // 10)))
    draw, losses = random.Random(20261122), {library.name: [0, 0, 0] for library in libraries}
    for _ in range(kills):
        least = draw.randint(20, 400)
        for library in libraries:
            for place, count in enumerate(library.kill(least, pace_s=0.002)):
                losses[library.name][place] += count
    cheapest = {name: {key: min(one[key] for one in found) for key in found[0]} for name, found in costs.items()}
    ours = cheapest["PEFT Studio"]
    print(
        f"{'':16}{'µs a call':>11}{'ratio':>8}{'CPU µs':>9}{'bytes a row':>13}{'ratio':>8}{'acknowledged':>14}{'lost':>7}{'share':>9}{'wrong':>7}"
    )
    for name, one in cheapest.items():
        acknowledged, lost, wrong = losses[name]
        print(
            f"{name:16}{one['call_s'] * 1e6:11.1f}{one['call_s'] / ours['call_s']:7.1f}×{one['cpu_s'] * 1e6:9.1f}{one['bytes']:13.1f}"
            f"{one['bytes'] / ours['bytes']:7.1f}×{acknowledged:14}{lost:7}{lost / acknowledged:9.2%}{wrong:7}"
        )
    best = min(one["call_s"] for name, one in cheapest.items() if name != "PEFT Studio")
    good = best / ours["call_s"] >= GOAL and losses["PEFT Studio"][1:] == [0, 0]
    print(
        f"{rounds} rounds, {rows} rows ({rows // 10} for the peers), {kills} kills each; a row every 2 ms in the kills"
    )
    print(
        f"goal ≥ {GOAL:g}× cheaper than the best peer ({best / ours['call_s']:.1f}×) and none lost: {'met' if good else 'MISSED'}"
    )
    return 0 if good else 1


def main() -> int:
    """Make the environment, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-env", type=Path, metavar="DIR")
    parser.add_argument("--env", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    if given.make_env:
        make_env(given.make_env)
        given.env = given.env or given.make_env
    if given.env is None:
        parser.error("--env DIR or --make-env DIR")
    return measure(given.env.resolve(), rounds=given.rounds, rows=given.rows, kills=given.kills)


if __name__ == "__main__":
    sys.exit(main())
