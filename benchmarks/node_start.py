"""Our share of a launch: from the first answer of a rented machine's door to the first number of training, everything it needs installed.

    python benchmarks/node_start.py [--rounds 10]

Each round boots a machine (a real process, the real boot script, TLS), sends it our package, the spec, the rows and a tiny base model,
and waits for the first row of metrics; then the same run is started at home, where nothing has to be sent. The model trains a step in
milliseconds, so what is measured is ours. Printed: the parts, their median and 95th percentile, and how much longer a machine takes
than home. Goal: at most 10 s (p95), on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from peft_studio import Studio  # noqa: E402
from peft_studio.connectors.local.connector import LocalCompute  # noqa: E402
from peft_studio.core.runs import events as ev  # noqa: E402
from peft_studio.core.runs.folder import RunFolder  # noqa: E402
from peft_studio.core.runs.log import read_events  # noqa: E402
from peft_studio.core.runs.metrics import read_metrics  # noqa: E402
from tests.conftest import end_processes_of, wait_for  # noqa: E402
from tests.rented import PORT, provide, rent  # noqa: E402
from tests.speed import write_speed  # noqa: E402
from tests.tiny import write_model, write_rows  # noqa: E402

GOAL_S = 10.0
PARTS = ("sending", "checking what is installed", "agent", "imports", "model and rows", "first step")


def main() -> int:
    """Measure and print; 0 when the goal is met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with _workshop() as (studio, spec, model, work):
        there, home = [], []
        for number in range(rounds):
            there.append(_on_a_machine(studio._store().create(spec), work / f"pod-{number}", model))
            home.append(_at_home(studio._store().create(spec)))
            print(f"  {number + 1}: machine {sum(there[-1]):5.1f} s, home {home[-1]:5.1f} s", flush=True)
    for name, values in zip(PARTS, zip(*there, strict=True), strict=True):
        print(f"{name:28} median {statistics.median(values):5.2f} s   p95 {_p95(values):5.2f} s")
    whole = [sum(parts) for parts in there]
    print(
        f"{'door to first number':28} median {statistics.median(whole):5.2f} s   p95 {_p95(whole):5.2f} s   (goal {GOAL_S:g} s)"
    )
    print(f"{'the same run at home':28} median {statistics.median(home):5.2f} s   p95 {_p95(home):5.2f} s")
    print(f"a machine takes {statistics.median(whole) / statistics.median(home):.2f} × as long as home")
    return 0 if _p95(whole) <= GOAL_S else 1


@contextlib.contextmanager
def _workshop() -> Iterator[tuple[Studio, object, Path, Path]]:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        studio = Studio(home=write_speed(work / "home"))
        model, rows = write_model(work / "tiny"), write_rows(work / "orders.jsonl", 44)
        spec = studio.spec(
            model=str(model), data=str(rows), rank=4, max_steps=200, batch_size=4, gradient_accumulation_steps=2,
            max_length=128, precision="fp32",
        )  # fmt: skip
        try:
            yield studio, spec, model, work
        finally:
            end_processes_of(work)


def _on_a_machine(folder: RunFolder, at: Path, model: Path) -> tuple[float, ...]:
    """Seconds of each part."""
    with provide() as provider:
        rented = rent(at, provider, folder)
        wait_for(lambda: rented.machine.answers(PORT), "the door", timeout_s=60)
        marks = [time.time()]
        rented.furnish(model, at)
        marks.append(time.time())
        wait_for(lambda: (rented.base / "python").exists(), "what training needs", timeout_s=60)
        marks.append(max(marks[-1], (rented.base / "python").stat().st_mtime))
        first = wait_for(lambda: read_metrics(rented.there.metrics), "the first number")[0]
        marks += [*_begun(rented.there), first.at]
    return tuple(later - earlier for earlier, later in pairwise(marks))


def _begun(folder: RunFolder) -> list[float]:
    """When the agent, the loading and the training began."""
    at = {event.phase: event.at for event in read_events(folder.events) if isinstance(event, ev.PhaseEntered)}
    return [at["queued"], at["loading"], at["training"]]


def _at_home(folder: RunFolder) -> float:
    began = time.time()
    LocalCompute().submit_job(folder)
    first = wait_for(lambda: read_metrics(folder.metrics), "the first number")[0]
    end_processes_of(folder.path)
    return float(first.at - began)


def _p95(values: object) -> float:
    found = sorted(values)  # type: ignore[call-overload]
    return float(found[min(len(found) - 1, round(0.95 * (len(found) - 1)))])


if __name__ == "__main__":
    os.environ.setdefault("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    sys.exit(main())
