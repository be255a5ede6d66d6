"""The idle rule on a machine, by itself: what ``nvidia-smi`` says, read as the agent reads it, in the run's own log."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.store import RunStore
from peft_studio.runner.agent.idle import IdleBrake
from peft_studio.runner.agent.journal import Journal
from peft_studio.runner.agent.vitals import Vitals
from tests.conftest import wait_for
from tests.rented import put_gpu
from tests.unit.core.runs.conftest import build_spec


class Bench:
    """A brake with a real log, and a machine whose GPU is as busy as its file says."""

    def __init__(self, at: Path, patch: pytest.MonkeyPatch, *, idle_s: str) -> None:
        patch.setenv("PS_IDLE_S", idle_s)
        patch.setenv("PATH", str(at / "bin"), prepend=os.pathsep)
        self.folder = RunStore(at / "home").create(build_spec())
        self.stopped: list[float] = []
        self.journal = Journal(self.folder)
        self.brake = IdleBrake(self.journal, lambda: self.stopped.append(time.monotonic()))

    def sample(self) -> list[str]:
        """One sample; what the log has by then."""
        self.brake.take(Vitals(os.getpid()).sample())
        return [getattr(one, "code", "") or getattr(one, "text", "")[:12] for one in read_events(self.folder.events)][
            1:
        ]


def test_an_idle_gpu_is_warned_of_then_stopped_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The busiest of two cards counts; work in between begins the time anew."""
    put_gpu(tmp_path / "bin", 3, 0)
    bench = Bench(tmp_path, monkeypatch, idle_s="0.6")
    wait_for(lambda: bench.sample() == ["gpu_idle"], "a warning")
    put_gpu(tmp_path / "bin", 3, 90)
    bench.sample()
    assert bench.stopped == []
    put_gpu(tmp_path / "bin", 9, 0)
    began = time.monotonic()
    wait_for(lambda: bench.sample()[-1] == "gpu_idle_stop", "the end of the grace")
    assert bench.stopped[0] - began > 0.6
    assert bench.sample() == ["gpu_idle", "gpu_idle", "gpu_idle_stop"]
    assert len(bench.stopped) == 1


@pytest.mark.parametrize("idle_s", ["0.05", "", "0"])
def test_no_figure_is_no_idling_and_is_said_where_there_is_a_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle_s: str
) -> None:
    """A tool that fails is as one that is not there; a machine without the rule says nothing and looks at nothing."""
    put_gpu(tmp_path / "bin")
    bench = Bench(tmp_path, monkeypatch, idle_s=idle_s)
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        said = bench.sample()
    assert said == (["This machine"] if idle_s == "0.05" else [])
    assert bench.stopped == []
