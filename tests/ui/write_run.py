"""Writes the folder of a run, as an agent and its trainer would, without training anything.

Event log, metrics, system use, heartbeat. As a program it is a live run in a process of its own, for the panel to watch:
``python write_run.py FOLDER [--rows-per-s 20]``. It trains until it is asked to stop (see ``folder_run``) or killed.
The numbers follow a formula: these are fixtures, not results.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.spec import DataRef, RunSpec
from peft_studio.core.system import try_lock

GIB = 2**30


def build_spec(*, name: str = "orders-to-json", **fields: Any) -> RunSpec:
    """A spec over rows that need not exist: nothing here reads them."""
    ref = DataRef(path="orders.jsonl", origin="orders.jsonl", format="messages", rows=400, split=0.1, sha256="0" * 64)
    return RunSpec(name=name, model="smollm2-135m", data=ref, **{"max_steps": 300, "save_steps": 50, **fields})


class RunWriter:
    """Appends to one run's folder. The folder is made with its spec and the first event."""

    def __init__(self, path: Path, spec: RunSpec | None = None) -> None:
        self.spec = spec or build_spec()
        self.folder = RunFolder(path)
        new = not self.folder.events.exists()
        path.mkdir(parents=True, exist_ok=True)
        self.folder.spec.write_text(self.spec.to_json(), encoding="utf-8")
        self.log = EventLogWriter(self.folder.events)
        self.rows = MetricsWriter(self.folder.metrics)
        self.system = MetricsWriter(self.folder.system)
        self._random = random.Random(7)
        self.step = 0
        if new:
            self.log.append(ev.Created(name=self.spec.name))

    def begin(self, *, total: int = 300, pause: Callable[[float], None] = lambda _s: None) -> None:
        """Everything before the first step; ``pause`` is called with the seconds that each phase takes."""
        self.log.append(ev.JobStarted(pid=1))
        self.phase("queued"), pause(0.4)
        self.phase("loading"), pause(3.1)
        self.say("info", "smollm2-135m: 134,515,008 parameters, bf16 on disk, fp32 in memory")
        self.phase("reading"), pause(1.2)
        self.say("warning", "row 117 is 1,304 tokens, cut to 1,024")
        self.log.append(
            ev.Planned(
                total_steps=total, steps_per_epoch=90.0, train_rows=360, eval_rows=40, trainable_parameters=4_884_480,
                total_parameters=139_399_488, device="cpu", precision="fp32", loop="reference", loop_reason="dropout is on",
            )
        )  # fmt: skip
        self.phase("training")

    def phase(self, name: str) -> None:
        self.log.append(ev.PhaseEntered(phase=name))

    def say(self, level: ev.Level, text: str) -> None:
        self.log.append(ev.Logged(level=level, text=text))

    def train(self, steps: int = 1, *, pause: Callable[[float], None] = lambda _s: None) -> None:
        """Log so many more steps."""
        for _ in range(steps):
            self.step += 1
            noise = self._random.gauss(0, 0.08)
            loss = (
                0.35
                + 1.6 * math.exp(-self.step / 35)
                + 0.25 * math.exp(-self.step / 160)
                + noise * (0.4 + math.exp(-self.step / 80))
            )
            rate = 2e-4 * min(1.0, self.step / 15) * 0.5 * (1 + math.cos(math.pi * self.step / 300))
            norm = abs(0.9 + self._random.gauss(0, 0.15) + 1.5 * math.exp(-self.step / 12))
            self.rows.log(
                self.step, loss=max(0.05, loss), learning_rate=rate, grad_norm=norm, tokens=self.step * 1180.0
            )
            if self.step % 10 == 0:
                self.say("info", f"step {self.step} loss {loss:.3f} lr {rate:.2e} grad_norm {norm:.2f}")
            used = 1.62 * GIB + self._random.random() * 0.1 * GIB
            self.system.log(self.step, cpu_percent=196.0, rss_bytes=used, memory_free_bytes=21.4 * GIB - used)
            pause(0.62 + self._random.random() * 0.1)
            if self.step % self.spec.save_steps == 0:
                self.checkpoint()
                self.sample()

    def checkpoint(self) -> None:
        self.log.append(
            ev.CheckpointSaved(
                step=self.step,
                path=f"checkpoints/checkpoint-{self.step}",
                size_bytes=58_700_000,
                sha256="9c" * 32,
                duration_s=0.4,
            )
        )
        self.log.append(
            ev.Evaluated(step=self.step, loss=0.42 + 1.4 * math.exp(-self.step / 60), rows=40, duration_s=2.1)
        )

    def sample(self) -> None:
        answer = '{"customer": "Mina", "item": "rain coat", "quantity": 6, "city": "Turin", "day": "wednesday"}'
        text = answer if self.step > 60 else "Sure! Here is the order for Mina in Turin: six rain coats."
        self.log.append(
            ev.Sampled(step=self.step, prompt="Please send six rain coats to Mina, Turin, by Wednesday.", text=text)
        )

    def end(self, state: str, failure: ev.Failure | None = None, *, saved: bool = False) -> None:
        """Finish; a completed run, and one that was stopped and ``saved``, has its adapter first."""
        if state == "completed" or saved:
            self.phase("saving")
            self.log.append(ev.AdapterSaved(path="adapter", step=self.step, sha256="ab" * 32, size_bytes=19_600_000))
        self.log.append(ev.Finished(state=state, failure=failure))  # type: ignore[arg-type]


@contextmanager
def clock_at(at: float) -> Iterator[Callable[[float], None]]:
    """Have the writers take their times from a clock that starts at ``at``; gives the function that moves it on."""
    clock = SimpleNamespace(now=at)
    fake = SimpleNamespace(time=lambda: clock.now)
    with patch("peft_studio.core.runs.log.time", fake), patch("peft_studio.core.runs.metrics.time", fake):
        yield lambda s: setattr(clock, "now", clock.now + s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows-per-s", type=float, default=20.0)
    parser.add_argument("--say", action="append", default=[], help="a line for the log, as it stands")
    given = parser.parse_args()
    writer = RunWriter(given.folder)
    asked = given.folder / "asked.json"
    with writer.folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock), "another process writes this run"
        writer.begin()
        for line in given.say:
            writer.say("info", line)
        while not asked.exists():
            writer.folder.heartbeat.touch()
            writer.train()
            time.sleep(1 / given.rows_per_s)
        writer.log.append(ev.StopRequested(save=json.loads(asked.read_text())["save"]))
        writer.end("stopped")


if __name__ == "__main__":
    main()
