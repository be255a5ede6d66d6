"""Homes with runs in them, written as agents and trainers write them, and the command line run on them as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import publish
from peft_studio.core.runs.failures import build_failure
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.spec import DataRef, RunSpec

PROGRAM = str(Path(sys.executable).parent / "peft-studio")
COMPLETED, FAILED, LOST = "r-20261101-080000-00000a", "r-20261102-080000-00000b", "r-20261103-080000-00000c"
STOPPED = "r-20261104-080000-00000d"
ESCAPE = "\x1b[2J\x1b]0;owned\x07"  # clears the screen and renames the window of a terminal that reads it


def peft_studio(*words: str, home: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line through pipes; ``home`` goes in as ``--home``."""
    command = [PROGRAM, *words, *(["--home", str(home)] if home else [])]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PEFT_STUDIO")}
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**kept, **environment}, timeout=120
    )


def write_home(home: Path) -> Path:
    """A home with a completed, a failed, a lost and a stopped run; the lost one's name tries to command the terminal."""
    write_run(home, COMPLETED, name="orders", end="completed")
    write_run(home, FAILED, name="too big", end="failed")
    write_run(home, LOST, name=f"evil{ESCAPE} name", end=None)
    write_run(home, STOPPED, name="enough", end="stopped")
    return home


def write_run(home: Path, run_id: str, *, name: str, end: str | None, steps: int = 12) -> RunFolder:
    """One run's folder. ``end`` None: its agent died without a word."""
    folder = RunFolder(home / "runs" / run_id)
    folder.path.mkdir(parents=True)
    spec = build_spec(name=name)
    folder.spec.write_text(spec.to_json(), encoding="utf-8")
    folder.agent_lock.touch()  # an agent was here, and is not any more
    log, rows = EventLogWriter(folder.events), MetricsWriter(folder.metrics)
    for event in (ev.Created(name=name), ev.JobStarted(pid=1), ev.PhaseEntered(phase="loading"), plan(total=20), ev.PhaseEntered(phase="training")):  # fmt: skip
        log.append(event)
    for step in range(1, steps + 1):
        rows.log(step, loss=2.0 / step, grad_norm=1.0, learning_rate=1e-4, tokens=step * 100.0, time_s=step * 1.0)
    log.append(ev.Warned(code="loss_flat", step=5, message=f"Loss is flat.{ESCAPE}", hint="A higher learning rate."))
    log.append(ev.Evaluated(step=steps, loss=0.5, rows=40, duration_s=1.0))
    save_checkpoint(folder, 10)
    if end == "completed":
        log.append(ev.AdapterSaved(path="adapter", step=20, sha256="a" * 64, size_bytes=9_830_000))
    if end:
        failure = build_failure("out_of_memory", "There was not enough memory for this step.", spec=spec, trace="Traceback\nMemoryError", step=12)  # fmt: skip
        log.append(ev.Finished(state=end, failure=failure if end == "failed" else None))  # type: ignore[arg-type]
    log.close()
    rows.close()
    return folder


def save_checkpoint(folder: RunFolder, step: int) -> None:
    """A small checkpoint that verifies."""
    aside = folder.checkpoints / ".aside"
    aside.mkdir(parents=True)
    (aside / "weights").write_bytes(b"0123456789")
    publish(aside, folder.checkpoints / f"checkpoint-{step}")


def build_spec(**fields: Any) -> RunSpec:
    """A spec over rows that need not exist."""
    ref = DataRef(path="orders.jsonl", origin="orders.jsonl", format="messages", rows=400, sha256="0" * 64)
    return RunSpec(model="smollm2-135m", data=ref, **{"max_steps": 20, **fields})


def plan(*, total: int) -> ev.Planned:
    """What a trainer says before it begins."""
    return ev.Planned(
        total_steps=total, steps_per_epoch=100.0, train_rows=400, eval_rows=40, trainable_parameters=2_440_000,
        total_parameters=137_000_000, device="cpu", precision="fp32", loop="fast", loop_reason="equal",
    )  # fmt: skip
