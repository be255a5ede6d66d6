"""The line for a device: first come first served among the living, and never two runs on one slot. Each place is a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.runner.agent.slots import count_slots
from tests.conftest import wait_for

WAITER = """
import asyncio, fcntl, os, sys
from pathlib import Path
from peft_studio.runner.agent.slots import Slot
home, run_id = Path(sys.argv[1]), sys.argv[2]
slot = Slot(home, device="cpu", run_id=run_id)
log = os.open(home / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(log, f"waits {run_id}\\n".encode())
asyncio.run(slot.wait())
os.write(log, f"has {run_id}\\n".encode())
sys.stdin.readline()
os.write(log, f"leaves {run_id}\\n".encode())
slot.leave()
sys.stdin.readline()
"""


class Line:
    """Processes that want the CPU of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.children: dict[str, subprocess.Popen[str]] = {}

    def join(self, run_id: str, *, slots: int = 1) -> None:
        self.children[run_id] = subprocess.Popen(
            [sys.executable, "-c", WAITER, str(self.home), run_id], stdin=subprocess.PIPE, text=True,
            env={**os.environ, "PEFT_STUDIO_CPU_SLOTS": str(slots)},
        )  # fmt: skip
        wait_for(
            lambda: self.home.joinpath("slots/cpu/line", run_id).exists() or f"has {run_id}" in self.said(),
            run_id,
            timeout_s=30,
        )

    def said(self) -> list[str]:
        log = self.home / "log"
        return log.read_text().splitlines() if log.exists() else []

    def wait(self, line: str) -> None:
        wait_for(lambda: line in self.said(), line)

    def leave(self, run_id: str) -> None:
        child = self.children[run_id]
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    for child in made.children.values():
        child.kill()
        child.communicate()


def test_one_at_a_time_in_order(line: Line) -> None:
    """Whoever was created first goes first, whatever the order in which they came to wait."""
    line.join("r-1")
    line.wait("has r-1")
    for run_id in ("r-4", "r-2", "r-3"):
        line.join(run_id)
    for before, after in (("r-1", "r-2"), ("r-2", "r-3"), ("r-3", "r-4")):
        line.leave(before)
        line.wait(f"has {after}")
    turns = [entry for entry in line.said() if not entry.startswith("waits")]
    assert turns == ["has r-1", "leaves r-1", "has r-2", "leaves r-2", "has r-3", "leaves r-3", "has r-4"]


def test_the_dead_give_up_their_place(line: Line) -> None:
    """Killed while waiting or while holding the device: the next goes on, nobody cleans up."""
    line.join("r-1")
    line.wait("has r-1")
    line.join("r-2")
    line.join("r-3")
    line.children["r-2"].kill()
    line.children["r-2"].wait()
    line.children["r-1"].kill()
    line.wait("has r-3")
    assert "has r-2" not in line.said()


def test_two_slots_hold_two(line: Line) -> None:
    """As many at once as there are slots, and no more."""
    for run_id in ("r-1", "r-2", "r-3"):
        line.join(run_id, slots=2)
    line.wait("has r-1")
    line.wait("has r-2")
    assert "has r-3" not in line.said()
    line.leave("r-2")
    line.wait("has r-3")


@pytest.mark.parametrize(("given", "count"), [(None, 1), ("", 1), ("3", 3), ("0", 1), ("-2", 1), ("many", 1)])
def test_slots_of_a_device(monkeypatch: pytest.MonkeyPatch, given: str | None, count: int) -> None:
    """One, unless the environment names a number; nonsense is one."""
    monkeypatch.delenv("PEFT_STUDIO_CUDA_SLOTS", raising=False)
    if given is not None:
        monkeypatch.setenv("PEFT_STUDIO_CUDA_SLOTS", given)
    assert count_slots("cuda") == count
