"""An agent whose trainer is a stand-in: it speaks the trainer's protocol and writes its files, but needs no torch and trains nothing.

``python -m tests.unit.runner.agent.stand_in agent RUN_FOLDER [--from-step N]`` is the real agent; ``train`` is the stand-in. The run's
name says what the stand-in does, as JSON: ``steps``, ``pause_s`` a step, ``end`` and whatever the ends below read.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.runner.agent import agent, hung, trainer_process
from peft_studio.runner.trainer.channel import Channel

MODULE = "tests.unit.runner.agent.stand_in"


def agent_main(arguments: list[str]) -> int:
    """The real agent, its trainer replaced."""
    init = trainer_process.TrainerProcess.__init__

    def stand_in(self: Any, folder: RunFolder, **given: Any) -> None:
        init(self, folder, **given)
        self._command = [sys.executable, "-m", MODULE, "train", str(folder.path)]

    trainer_process.TrainerProcess.__init__ = stand_in  # type: ignore[method-assign]
    agent.LOCK_WAIT_S = float(os.environ.get("STAND_IN_LOCK_WAIT_S", agent.LOCK_WAIT_S))
    if "STAND_IN_IMPATIENT" in os.environ:
        agent.SAMPLE_S, hung.TIMES, hung.TIMES_LONGEST = 0.1, 2.0, 2.0  # type: ignore[attr-defined]
    return agent.agent_main(arguments)


def train(folder: RunFolder) -> int:
    """Go through a run as the plan says."""
    plan = json.loads(folder.load_spec().name or "{}")
    channel = Channel()
    channel.listen()
    channel.send(ev.PhaseEntered(phase="loading"))
    if plan.get("say"):
        print(plan["say"] * plan.get("times", 1), file=sys.stderr, flush=True)
    channel.send(ev.PhaseEntered(phase="training"))
    metrics, steps = MetricsWriter(folder.metrics), plan.get("steps", 5)
    for step in range(1, steps + 1):
        metrics.log(step, loss=1.0 / step, tokens=10.0 * step)
        channel.send(ev.Logged(level="info", text=f"step {step}"))
        time.sleep(plan.get("pause_s", 0.0))
        if step == plan.get("evaluates_at"):
            _evaluate(channel, plan["for_s"], hangs=plan.get("hangs", False))
        if channel.orphaned.is_set():
            return 0
        if channel.stop_requested.is_set():
            break
    return _end(plan.get("end", "completed"), folder, channel, stopped=channel.stop_requested.is_set())


def _evaluate(channel: Channel, for_s: float, *, hangs: bool) -> None:
    """Something between two steps, which computes. ``hangs``: it is not said, and computes for ever, as a collective does whose other end is gone."""
    if not hangs:
        channel.send(ev.Doing(what="evaluating"))
    began = time.monotonic()
    while hangs or time.monotonic() - began < for_s:
        pass
    channel.send(ev.Doing())


def _end(how: str, folder: RunFolder, channel: Channel, *, stopped: bool) -> int:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exits":
        print("Traceback (most recent call last):\nValueError: nobody caught this", file=sys.stderr)
        return 7
    if how == "failed":
        channel.send(ev.Finished(state="failed", failure=ev.Failure(code="disk_full", message="no room", trace="t")))
        return 0
    channel.send(ev.PhaseEntered(phase="saving"))
    weights = folder.adapter / "adapter_model.safetensors"
    folder.adapter.mkdir(exist_ok=True)
    weights.write_bytes(b"weights" * 1000)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if how != "announces nothing":
        channel.send(ev.AdapterSaved(path="adapter", step=5, sha256=digest, size_bytes=7000))
    if how == "adapter missing":
        weights.unlink()
    if how == "adapter differs":
        weights.write_bytes(b"other")
    channel.send(ev.Finished(state="stopped" if stopped else "completed"))
    return 0


if __name__ == "__main__":
    sys.exit(agent_main(sys.argv[2:]) if sys.argv[1] == "agent" else train(RunFolder(Path(sys.argv[2]))))
