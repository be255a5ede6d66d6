"""Writes a home with runs of every state, as agents would have left them. The numbers follow a formula: fixtures, not results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft_studio.core.runs.failures import build_failure
from tests.ui.write_run import RunWriter, build_spec, clock_at

DAY_S = 86_400.0


def write_run(home: Path, number: int, name: str, state: str, *, at: float, steps: int = 60, **fields: Any) -> Path:
    """One run that has ended, or whose agent died (``lost``), as it stands at ``at``. Gives its folder."""
    spec = build_spec(name=name, **fields)
    with clock_at(at) as pause:
        writer = RunWriter(home / "runs" / f"r-20261122-203412-{number:06x}", spec)
        if state == "queued":
            return writer.folder.path
        writer.begin(pause=pause)
        writer.train(steps, pause=pause)
        if state == "failed":
            writer.end(
                "failed", build_failure("out_of_memory", "The machine has no memory left.", spec=spec, step=steps)
            )
        elif state != "lost":
            writer.end(state)
    return writer.folder.path


def write_home(home: Path, *, now: float) -> Path:
    """Seven runs, newest first: v4, v3, v2, v1, smoke, ray, other."""
    runs = [
        ("sql-assistant-v4", "completed", 0.05, 300, {"rank": 32}),
        ("sql-assistant-v3", "completed", 0.1, 240, {"rank": 32, "method": "rslora"}),
        ("sql-assistant-v2", "completed", 0.4, 200, {"rank": 16}),
        ("sql-assistant-v1", "stopped", 2.0, 120, {"rank": 16, "quantization": "nf4", "method": "qlora"}),
        ("sql-smoke", "failed", 3.0, 1, {"rank": 16}),
        ("sql-ray-02", "lost", 9.0, 90, {"method": "dora"}),
        ("notes", "completed", 40.0, 60, {}),
    ]
    for number, (name, state, days, steps, fields) in enumerate(runs):
        write_run(home, number, name, state, at=now - days * DAY_S, steps=steps, **fields)
    return home
