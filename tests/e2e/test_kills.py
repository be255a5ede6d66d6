"""Twenty kills at random moments of kernel, client, trainer and agent, over three runs. Nothing acknowledged is lost, nothing untrue is shown."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from peft_studio.core.services.run import Run
from tests.conftest import wait_for
from tests.e2e.client import Client
from tests.e2e.evidence import Witness, jobs_of, last_step, numbers_of, processes, rows_of, weights_of

pytestmark = [pytest.mark.slow, pytest.mark.stress]
SEED = 20261122
RUNS = (
    {"method": "lora", "loop": "fast", "kills": 8},
    {"method": "dora", "loop": "reference", "kills": 8},
    {"method": "lora", "loop": "reference", "kills": 4},
)
STEPS = 60


class Kernel:
    """A real IPython kernel, in a process group of its own as Jupyter starts them."""

    def __init__(self) -> None:
        from jupyter_client.manager import KernelManager

        self._manager: Any = KernelManager(kernel_name="python3")
        self._manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"])
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def execute(self, cell: str) -> str:
        """Run a cell and return what it printed."""
        printed: list[str] = []

        def take(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self._client.execute_interactive(cell, timeout=120, output_hook=take)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def kill(self) -> None:
        """SIGKILL to the kernel's whole process group."""
        pid = self._manager.provisioner.pid
        os.killpg(os.getpgid(pid), signal.SIGKILL)
        wait_for(
            lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE,
            "the kernel's end",
        )
        self._client.stop_channels()
        self._manager.cleanup_resources()


OPEN = "from peft_studio import Studio; studio = Studio(home={home!r})"
LAUNCH = "spec, _ = studio.load({spec!r}); run = studio.launch(spec); print(run.id)"
RESUME = "run = studio.run({run!r}); run.resume(); print(run.id)"


def schedule(seed: int, count: int) -> Iterator[tuple[str, str, float, int]]:
    """(who starts the job, who of the run dies, seconds after the trigger, steps the job gets): two kills an entry."""
    draw = random.Random(seed)
    for number in range(count // 2):
        starter = ("kernel", "client")[number % 2]
        victim = draw.choice(["train", "agent", "both"]) if number > 1 else ("train", "agent")[number]
        # Every fourth job dies while it loads; the others somewhere in their steps.
        yield starter, victim, draw.random() * 0.3, 0 if number % 4 == 3 else draw.randint(1, 12)


def live(run_once: Callable[[], Run], victim: str, *, after_s: float, steps: int) -> tuple[Run, list[Any]]:
    """Let a job get so far and kill it; gives the run, and the rows that could be read the moment before."""
    run = run_once()
    base = jobs_of(run)[-1].from_step if jobs_of(run) else 0
    if steps:
        wait_for(
            lambda: last_step(run) >= base + steps or run.state == "completed", f"step {base + steps}", timeout_s=90
        )
    else:
        wait_for(lambda: processes(run, "train"), "the trainer", timeout_s=90)
    time.sleep(after_s)  # the random moment
    before = rows_of(run)
    victims = [p for kind in (("agent", "train") if victim == "both" else (victim,)) for p in processes(run, kind)]
    for process in victims:
        os.killpg(os.getpgid(process.pid), signal.SIGKILL) if victim == "both" else process.kill()
    psutil.wait_procs(victims, timeout=30)
    return run, before


def test_twenty_kills(studio: Studio, make_spec: Callable[..., Any], tmp_path: Path) -> None:
    """Each run ends with the bytes and the numbers of one that nobody touched; a witness saw no untrue state at any time."""
    kills = {"kernel": 0, "client": 0, "train": 0, "agent": 0, "both": 0}
    for number, case in enumerate(RUNS):
        fields = {key: value for key, value in case.items() if key != "kills"}
        spec = make_spec(**fields, max_steps=STEPS, save_steps=1 + number, dropout=0.1, keep_checkpoints=2)
        alone = studio.launch(spec).wait(300)
        path = studio.export(spec, tmp_path / f"spec-{number}.json")
        run: Run | None = None
        seen: list[str] = []
        for starter_kind, victim, after_s, steps in schedule(SEED + number, int(str(case["kills"]))):
            starter = Kernel() if starter_kind == "kernel" else Client()
            starter.execute(OPEN.format(home=str(studio.home)))
            cell = RESUME.format(run=run.id) if run else LAUNCH.format(spec=str(path))
            run = studio.run(starter.execute(cell).split()[-1])
            with Witness(run) as witness:
                time.sleep(after_s)  # a random moment for the starter too: the agent may be up or not
                starter.kill()
                kills[starter_kind] += 1
                run, before = live(lambda run=run: run, victim, after_s=after_s, steps=steps)
                kills[victim] += 1
                wait_for(lambda run=run: run.state in {"failed", "lost", "completed"}, "an end", timeout_s=60)
                newest = max((c.step for c in run.read()[0].checkpoints), default=0)
                assert run.state in ({"failed"} if victim == "train" else {"lost"}), (run.state, victim)
                check_nothing_lost(run, before)
            assert witness.wrong == []
            seen += witness.seen
            assert newest <= max([0, *run.checkpoints]), "a checkpoint that was reported is gone"
        assert run is not None
        with Witness(run) as witness:
            run.resume().wait(300)
        assert witness.wrong == []
        assert run.state == "completed"
        assert numbers_of(run) == numbers_of(alone)
        assert weights_of(run) == weights_of(alone)
        assert {"lost", "training"} <= set(seen)
    assert sum(kills.values()) == 20, kills
    assert min(kills["kernel"], kills["client"], kills["train"], kills["agent"]) >= 2, kills


def check_nothing_lost(run: Run, before: list[Any]) -> None:
    """Every row that could be read before the kill can be read after it."""
    after = [(row.step, row.at, row.values) for row in rows_of(run)]
    assert after[: len(before)] == [(row.step, row.at, row.values) for row in before]
