"""Two training processes on one machine: really two, the losses of one, stopped, killed and resumed as one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from peft_studio.core.errors import RunFailed
from tests.conftest import wait_for
from tests.e2e.evidence import jobs_of, last_step, numbers_of, processes, weights_of

pytestmark = pytest.mark.slow
MakeSpec = Callable[..., Any]


@pytest.fixture
def spec(make_spec: MakeSpec) -> Any:
    """44 rows, 8 a step: the last step of an epoch has 4, which not every hand gets one of."""
    return make_spec(processes=2, dropout=0.0, max_steps=12, save_steps=3, eval_steps=6, probe=False)


def assert_same_numbers(found: dict[int, dict[str, float]], wanted: dict[int, dict[str, float]]) -> None:
    """Losses, norms, rates, evaluations and tokens of every step, but for the order in which sums are taken."""
    assert found.keys() == wanted.keys()
    for step, numbers in wanted.items():
        assert found[step] == pytest.approx(numbers, rel=2e-5), step


def test_two_see_what_one_sees_and_one_alone_goes_on(studio: Studio, spec: Any) -> None:
    """Step by step the numbers are those of one process, until one of the two is killed: that is said, nobody hangs, and a single process
    finishes from the checkpoint as if nothing had been."""
    one = studio.launch(spec.replace(processes=1)).wait(300)
    run = studio.launch(spec)
    wait_for(lambda: last_step(run) >= 7, "step 7")
    ranks = processes(run, "train")
    assert len(ranks) == 2
    assert run.read()[0].plan.processes == 2  # type: ignore[union-attr]

    max(ranks, key=lambda process: process.pid).send_signal(signal.SIGKILL)

    with pytest.raises(RunFailed, match="Training process 1 of 2 was ended from outside by SIGKILL"):
        run.wait(120)
    assert run.failure is not None
    assert run.failure.code == "trainer_killed"
    assert processes(run, "train") == []
    run.folder.spec.write_text(spec.replace(processes=1).to_json())  # as a machine with one device decides
    run.resume().wait(300)
    assert jobs_of(run)[-1].from_step >= 6
    assert_same_numbers(numbers_of(run), numbers_of(one))


@pytest.mark.stress
@pytest.mark.parametrize(
    "fields",
    [{"loop": "reference"}, {"packing": True, "gradient_accumulation_steps": 3}, {"processes": 3}, {"method": "dora"},
     {"gradient_checkpointing": True, "loop": "reference"}, {"probe": True, "max_steps": 40}],
    ids=str,
)  # fmt: skip
def test_the_numbers_of_one(studio: Studio, spec: Any, fields: dict[str, Any]) -> None:
    """Whatever the loop, and also where a step cannot be dealt out evenly."""
    two = studio.launch(spec.replace(**fields)).wait(300)
    one = studio.launch(spec.replace(**fields).replace(processes=1)).wait(300)

    assert_same_numbers(numbers_of(two), numbers_of(one))


@pytest.mark.stress
def test_a_repeat_gives_the_same_bytes(studio: Studio, spec: Any) -> None:
    """Dropout and all."""
    spec = spec.replace(dropout=0.1)
    first, second = (studio.launch(spec).wait(300) for _ in range(2))
    assert weights_of(first) == weights_of(second)


@pytest.mark.stress
@pytest.mark.parametrize("victim", ["agent", "rank", "all"])
def test_killed_and_resumed(studio: Studio, spec: Any, victim: str) -> None:
    """Whatever dies, no process stays behind, and the resumed run ends with the same bytes."""
    spec = spec.replace(dropout=0.1)
    alone = studio.launch(spec).wait(300)
    run = studio.launch(spec.replace(name="killed"))
    wait_for(lambda: last_step(run) >= 4, "step 4")
    ranks = processes(run, "train")
    everyone = [*processes(run, "agent"), *ranks]
    for process in {"agent": processes(run, "agent"), "rank": ranks[:1], "all": everyone}[victim]:
        process.send_signal(signal.SIGKILL)
    _, left = psutil.wait_procs(everyone, timeout=60)
    assert left == []
    assert run.state == ("failed" if victim == "rank" else "lost")
    run.resume().wait(300)
    assert jobs_of(run)[-1].from_step >= 3
    assert weights_of(run) == weights_of(alone)
    assert numbers_of(run) == numbers_of(alone)


@pytest.mark.stress
def test_stop_and_save(studio: Studio, spec: Any) -> None:
    """Both agree on the step; the run is stopped with an adapter and goes on from there."""
    run = studio.launch(spec.replace(max_steps=300))
    wait_for(lambda: last_step(run) >= 2, "step 2")
    run.stop(save=True)
    assert run.wait(120).state == "stopped"
    assert run.read()[0].adapter.step == last_step(run) == run.checkpoints[-1]  # type: ignore[union-attr]
    assert os.path.isdir(run.adapter.path)


@pytest.mark.stress
def test_stop_while_loading(studio: Studio, spec: Any) -> None:
    """A stop before the first step ends the run too."""
    run = studio.launch(spec.replace(max_steps=300))
    wait_for(lambda: run.state == "preparing", "loading")
    run.stop(save=True)
    assert run.wait(120).state == "stopped"
