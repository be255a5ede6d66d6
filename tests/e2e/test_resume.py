"""A run that was killed and resumed ends with the same bytes as one that was left alone; so do its numbers, step by step."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from peft_studio.core.errors import RunFailed, RunStateError
from peft_studio.core.services.run import Run
from tests.conftest import wait_for
from tests.e2e.evidence import Witness, jobs_of, last_step, numbers_of, processes, rows_of, weights_of

pytestmark = pytest.mark.slow
MakeSpec = Callable[..., Any]


def kill(run: Run, target: str) -> None:
    """SIGKILL to the run's trainer, its agent, or both with their groups."""
    victims = [p for kind in (("train", "agent") if target == "both" else (target,)) for p in processes(run, kind)]
    assert victims
    for process in victims:
        if target == "both":
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)
        else:
            process.kill()
    psutil.wait_procs(victims, timeout=30)


def kill_in_step(run: Run, step: int, target: str, *, after_s: float) -> None:
    """Kill at a random moment behind a step."""
    wait_for(lambda: last_step(run) >= step or run.state in {"failed", "lost"}, f"step {step}")
    assert run.state == "training"
    os.sched_yield()
    wait_random(after_s)
    kill(run, target)


def wait_random(seconds: float) -> None:
    """Let a random time pass: the moment of a kill must not depend on what the run does."""
    import time

    time.sleep(seconds)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Run]:
    """The run of a spec that nobody touches. How often it saves does not change what it learns, so such specs share one.

    It goes without a probe, so that whoever is compared with it shows that a probe leaves no trace either.
    """
    studio, known = Studio(home=tmp_path_factory.mktemp("alone")), dict[str, Run]()

    def _run(spec: Any) -> Run:
        key = spec.replace(save_steps=50, keep_checkpoints=1).to_json()
        if key not in known:
            known[key] = studio.launch(spec.replace(probe=False)).wait(300)
        return known[key]

    return _run


CASES = {
    "lora fast": {"method": "lora", "loop": "fast"},
    "lora reference": {"method": "lora", "loop": "reference"},
    "dora": {"method": "dora", "loop": "reference"},
    "rslora": {
        "method": "rslora",
        "loop": "fast",
        "eval_steps": 3,
        "sample_prompts": ("Please send 5 lamps to Oslo.",),
        "sample_steps": 4,
    },
    "pissa": {"method": "pissa", "dropout": 0.0},
    "qlora": {"method": "qlora", "quantization": "nf4"},
    "packed": {"method": "lora", "packing": True, "batch_size": 2},
    "accumulated log": {"method": "lora", "logging_steps": 4, "save_steps": 3},
    "checkpointing": {"method": "lora", "gradient_checkpointing": True},
}


# The first three in every `make test`; the others take minutes and are in `make stress`.
EVERY_TIME = ("lora fast", "lora reference", "dora")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in EVERY_TIME else pytest.mark.stress) for case in CASES]
)
def test_killed_and_resumed_is_left_alone(
    studio: Studio, make_spec: MakeSpec, left_alone: Callable[[Any], Run], tiny_rows: Any, case: str
) -> None:
    """Dropout and shuffling on, checkpoints in the middle of epochs: one kill, one resume, the same file to the byte."""
    draw = random.Random(case)
    data = studio.data(str(tiny_rows), split=0.1, seed=1)
    spec = make_spec(**{"data": data, "max_steps": 24, "save_steps": 2, "dropout": 0.1, **CASES[case]})
    alone = left_alone(spec)
    killed = studio.launch(spec)
    with Witness(killed) as witness:
        target = draw.choice(["train", "agent", "both"])
        kill_in_step(killed, draw.randint(3, 12), target, after_s=draw.random() * 0.1)
        before = rows_of(killed)
        wait_for(lambda: killed.state in {"failed", "lost"}, "the end of the job")
        assert killed.state == ("failed" if target == "train" else "lost")
        killed.resume()
        killed.wait(300)
    assert witness.wrong == []
    from_step = jobs_of(killed)[-1].from_step
    assert from_step >= 2
    kept = [(row.step, row.values) for row in before if row.step <= from_step]
    assert [(row.step, row.values) for row in rows_of(killed)][: len(kept)] == kept
    assert numbers_of(killed) == numbers_of(alone)
    assert weights_of(killed) == weights_of(alone)
    state = killed.read()[0]
    assert state.probe is not None
    assert alone.read()[0].probe is None
    assert [e.step for e in state.evaluations] == [e.step for e in alone.read()[0].evaluations]
    assert [(s.step, s.text) for s in state.samples] == [(s.step, s.text) for s in alone.read()[0].samples]


def test_stop_resume_and_choice_of_checkpoint(
    studio: Studio, make_spec: MakeSpec, left_alone: Callable[[Any], Run]
) -> None:
    """Stopped and saved it is a stopped run with an adapter; resumed from any checkpoint it ends as if never stopped."""
    spec = make_spec(max_steps=30, save_steps=3, keep_checkpoints=50, dropout=0.1)
    alone = left_alone(spec)
    with pytest.raises(RunStateError, match="completed"):
        alone.resume()
    run = studio.launch(spec)
    wait_for(lambda: last_step(run) >= 7, "step 7")
    run.stop(save=True)
    assert run.wait(120).state == "stopped"
    stopped_at = run.adapter and run.read()[0].adapter.step
    assert stopped_at == last_step(run)
    assert stopped_at in run.checkpoints
    assert numbers_of(run) == {step: values for step, values in numbers_of(alone).items() if step <= stopped_at}
    with pytest.raises(RunStateError, match="no whole checkpoint of step 5"):
        run.resume(from_step=5)
    assert run.resume(from_step=3).wait(300).state == "completed"
    assert jobs_of(run)[-1].from_step == 3
    assert (weights_of(run), numbers_of(run)) == (weights_of(alone), numbers_of(alone))


def test_killed_before_the_first_checkpoint(
    studio: Studio, make_spec: MakeSpec, left_alone: Callable[[Any], Run]
) -> None:
    """Nothing is saved yet: the run starts over, and the steps of the first job are not shown meanwhile."""
    spec = make_spec(max_steps=30, save_steps=30, dropout=0.1)
    alone = left_alone(spec)
    run = studio.launch(spec)
    kill_in_step(run, 8, "both", after_s=0.0)
    assert run.state == "lost"
    run.resume()
    wait_for(lambda: run.state == "training", "training again")
    wait_for(lambda: rows_of(run), "the first step of the second job")
    assert jobs_of(run)[-1].from_step == 0
    run.wait(300)
    assert [row.step for row in rows_of(run)] == list(range(1, 31))
    assert (weights_of(run), numbers_of(run)) == (weights_of(alone), numbers_of(alone))


def test_a_damaged_checkpoint_is_passed_over(
    studio: Studio, make_spec: MakeSpec, left_alone: Callable[[Any], Run]
) -> None:
    """The newest checkpoint that verifies is taken; what a failing disk did to a newer one does not matter."""
    spec = make_spec(max_steps=30, save_steps=2, dropout=0.1)
    alone = left_alone(spec)
    run = studio.launch(spec)
    kill_in_step(run, 11, "both", after_s=0.0)
    newest = run.checkpoints[-1]
    victim = run.folder.checkpoints / f"checkpoint-{newest}" / "optimizer.pt"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    assert newest not in run.checkpoints
    run.resume().wait(300)
    assert jobs_of(run)[-1].from_step < newest
    assert (weights_of(run), numbers_of(run)) == (weights_of(alone), numbers_of(alone))


@pytest.mark.parametrize("slots", [1, pytest.param(2, marks=pytest.mark.stress)])
def test_resumed_while_the_old_trainer_still_runs(
    studio: Studio,
    make_spec: MakeSpec,
    left_alone: Callable[[Any], Run],
    slots: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The agent is killed and the run resumed in the same breath: the second trainer waits for the first, they never mix.

    With one slot the device is still the first's, so the second is not even started; with two it waits for the run's trainer lock.
    """
    spec = make_spec(max_steps=30, save_steps=2, dropout=0.1)
    alone = left_alone(spec)
    monkeypatch.setenv("PEFT_STUDIO_CPU_SLOTS", str(slots))
    run = studio.launch(spec)
    wait_for(lambda: last_step(run) >= 6, "step 6")
    old = processes(run, "train")
    old[0].suspend()  # as a step that takes long
    kill(run, "agent")
    wait_for(lambda: run.state == "lost", "lost")
    run.resume()
    wait_for(lambda: len(processes(run, "train")) == slots, "the second trainer, or its place in the line")
    written = rows_of(run)
    wait_random(1.0)
    assert (run.state, len(processes(run, "train")), rows_of(run)) == ("queued", slots, written)
    old[0].resume()
    run.wait(300)
    assert (weights_of(run), numbers_of(run)) == (weights_of(alone), numbers_of(alone))
    assert not old[0].is_running()


def test_a_repeat_is_the_same_run(studio: Studio, make_spec: MakeSpec) -> None:
    """The same spec twice gives the same bytes; another seed does not."""
    first, second = (studio.launch(make_spec(dropout=0.1)).wait(300) for _ in range(2))
    other = studio.launch(make_spec(dropout=0.1, seed=1)).wait(300)
    assert weights_of(first) == weights_of(second)
    assert weights_of(first) != weights_of(other)


def test_a_failed_wait_names_the_way_on(studio: Studio, make_spec: MakeSpec) -> None:
    """A killed trainer is a failure with signal, kept checkpoint and a hint to resume."""
    run = studio.launch(make_spec(max_steps=200, save_steps=2))
    kill_in_step(run, 5, "train", after_s=0.0)
    with pytest.raises(RunFailed, match="SIGKILL") as caught:
        run.wait(60)
    assert "esume" in caught.value.hint
    assert run.failure is not None
    assert (run.failure.code, run.failure.step) == ("trainer_killed", run.checkpoints[-1])
    for suggestion in run.failure.suggestions:
        assert studio.check(suggestion.spec).ready
