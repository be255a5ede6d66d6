"""Two training processes on one machine: really two, the same result every time, stopped and resumed as one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from tests.conftest import wait_for
from tests.e2e.evidence import jobs_of, last_step, numbers_of, processes, weights_of

pytestmark = pytest.mark.slow
MakeSpec = Callable[..., Any]


@pytest.fixture
def spec(make_spec: MakeSpec) -> Any:
    return make_spec(
        processes=2,
        batch_size=2,
        dropout=0.1,
        max_steps=12,
        save_steps=3,
        loop="reference",
        gradient_accumulation_steps=2,
    )


def test_two_processes_train_one_adapter(studio: Studio, spec: Any) -> None:
    """The world has two, the run completes, a repeat gives the same bytes, and all tokens are counted."""
    first = studio.launch(spec)
    wait_for(lambda: last_step(first) >= 1, "the first step")
    ranks = [p for p in processes(first, "train") if "torch.distributed.run" not in p.cmdline()]
    assert len(ranks) == 2
    first.wait(300)
    plan = first.read()[0].plan
    assert plan is not None
    assert plan.processes == 2
    second = studio.launch(spec).wait(300)
    assert weights_of(first) == weights_of(second)
    one = studio.launch(spec.replace(processes=1, batch_size=4)).wait(300)
    assert numbers_of(first)[1]["tokens"] == pytest.approx(numbers_of(one)[1]["tokens"], rel=0.3)
    losses = [values["loss"] for values in numbers_of(first).values()]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("victim", ["agent", *(pytest.param(who, marks=pytest.mark.stress) for who in ("rank", "all"))])
def test_killed_and_resumed(studio: Studio, spec: Any, victim: str) -> None:
    """Whatever dies, no process stays behind, and the resumed run ends with the same bytes."""
    alone = studio.launch(spec).wait(300)
    run = studio.launch(spec.replace(name="killed"))
    wait_for(lambda: last_step(run) >= 4, "step 4")
    everyone = [*processes(run, "agent"), *processes(run, "train")]
    ranks = [p for p in everyone if "train" in p.cmdline() and "torch.distributed.run" not in p.cmdline()]
    for process in {"agent": processes(run, "agent"), "rank": ranks[1:], "all": everyone}[victim]:
        process.send_signal(signal.SIGKILL)
    _, left = psutil.wait_procs(everyone, timeout=60)
    assert left == []
    assert run.state == ("failed" if victim == "rank" else "lost")
    run.resume().wait(300)
    assert jobs_of(run)[-1].from_step >= 3
    assert weights_of(run) == weights_of(alone)
    assert numbers_of(run) == numbers_of(alone)


def test_stop_and_save(studio: Studio, spec: Any) -> None:
    """Both agree on the step; the run is stopped with an adapter and goes on from there."""
    run = studio.launch(spec.replace(max_steps=300))
    wait_for(lambda: last_step(run) >= 2, "step 2")
    run.stop(save=True)
    assert run.wait(120).state == "stopped"
    assert run.read()[0].adapter.step == last_step(run) == run.checkpoints[-1]  # type: ignore[union-attr]
    assert os.path.isdir(run.adapter.path)


def test_stop_while_loading(studio: Studio, spec: Any) -> None:
    """A stop before the first step ends the run too."""
    run = studio.launch(spec.replace(max_steps=300))
    wait_for(lambda: run.state == "preparing", "loading")
    run.stop(save=True)
    assert run.wait(120).state == "stopped"
