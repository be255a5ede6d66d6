"""A sweep is runs with a common tag: three specs that differ in one field, found again by any process, and judged when all have ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.errors import RunNotFound, RunStateError
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import build_failure
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.services.sweep import Sweep, find_sweep_runs, new_sweep_id, plan_sweep
from peft_studio.core.spec import Basis
from tests.unit.core.defaults.test_derive import derive
from tests.unit.core.services.test_run import JOB, TRAINING, compute, make, store  # noqa: F401  fixtures

MakeRun = Callable[..., Any]


def test_the_runs_differ_in_the_learning_rate_alone() -> None:
    """A third, one, three; short, one checkpoint, a common tag; the person's other tags and name stay."""
    spec = derive(Basis(train_rows=900), learning_rate=3e-4, rank=8, tags=("mine", "sweep:s-old"), name="orders")
    plans = plan_sweep(spec, "s-1")
    assert [plan.learning_rate for plan in plans] == [1e-4, 3e-4, 9e-4]
    assert {plan.max_steps for plan in plans} == {30}
    assert {plan.tags for plan in plans} == {("mine", "sweep:s-1")}
    assert len({plan.name for plan in plans}) == 3
    assert all(plan.name.startswith("orders: ") for plan in plans)
    fields = {"learning_rate", "name", "chosen"}
    bare = [{name: value for name, value in plan.model_dump().items() if name not in fields} for plan in plans]
    assert bare[0] == bare[1] == bare[2]
    assert (bare[0]["rank"], bare[0]["save_steps"], bare[0]["keep_checkpoints"]) == (8, 30, 1)
    assert {plan.max_steps for plan in plan_sweep(spec.replace(max_steps=12), "s-1")} == {12}
    assert {plan.max_steps for plan in plan_sweep(spec, "s-1", max_steps=7)} == {7}


@pytest.fixture
def sweep_of(make: MakeRun) -> Callable[..., Sweep]:  # noqa: F811
    """A sweep whose runs have logged these losses; one that names a failure has ended in it, None is still going."""

    def _sweep(*ends: Any) -> Sweep:
        sweep_id, runs = new_sweep_id(), []
        for number, end in enumerate(ends):
            rate = 1e-4 * 3**number
            fields = {"learning_rate": rate, "tags": (f"sweep:{sweep_id}",), "max_steps": 12}
            events: list[ev.Event] = [JOB, TRAINING]
            if isinstance(end, str):
                events.append(ev.Finished(state="failed", failure=build_failure(end, "it did", spec=None)))
            elif end is not None:
                events += [
                    ev.AdapterSaved(path="adapter", step=12, sha256="ab" * 32, size_bytes=5),
                    ev.Finished(state="completed"),
                ]
            run = make(*events, **fields)
            metrics = MetricsWriter(run.folder.metrics)
            for step in range(1, 13):
                metrics.log(
                    step,
                    loss=3.0
                    - (end if isinstance(end, float) else 0) * step / 12
                    + 0.3 * (step % 2)
                    + 0.001 * ((step * (number + 1)) % 3),
                )
            metrics.close()
            runs.append(run)
        return Sweep(sweep_id, runs)

    return _sweep


def test_any_process_finds_it_again(sweep_of: Callable[..., Sweep], tmp_path: Path, make: MakeRun) -> None:  # noqa: F811
    """By its id alone, among other runs; an unknown id is an error with a way on."""
    first, make_other = sweep_of(0.5, 1.0, 0.6), make
    make_other(JOB)
    second = sweep_of(0.1, 0.2, 0.3)
    studio = Studio(home=tmp_path)
    for sweep in (first, second):
        again = studio.sweep(sweep.id)
        assert [run.id for run in again.runs] == [run.id for run in sweep.runs]
        assert again.best.learning_rate == sweep.best.learning_rate
    with pytest.raises(RunNotFound) as caught:
        find_sweep_runs(studio._store(), "s-20200101-000000-000000")
    assert caught.value.hint


def test_table_words_and_picture(sweep_of: Callable[..., Sweep]) -> None:
    """One row a rate in their order, what each is behind, and the recommendation in a sentence."""
    sweep = sweep_of(0.5, 1.0, 0.6)
    frame = sweep.table()
    assert list(frame.learning_rate) == [1e-4, pytest.approx(3e-4), pytest.approx(9e-4)]
    assert frame.behind[1] == 0
    assert frame.behind[0] > frame.behind[2] > 0
    assert sweep.best.clear
    text = repr(sweep)
    assert sweep.id in text
    assert sweep.best.why in text
    assert sweep.best.why.split()[0] in sweep._repr_html_()
    assert [line.name for line in sweep.plot().data] == ["0.0001", "0.0003", "0.0009"]


def test_one_that_diverged_is_an_answer(sweep_of: Callable[..., Sweep]) -> None:
    """And waiting for it is no error."""
    sweep = sweep_of(0.5, 1.0, "loss_exploded")
    assert sweep.wait(1).best.learning_rate == pytest.approx(3e-4)
    assert sweep.table().loss.notna().all()
    assert sweep.table().behind.isna().tolist() == [False, False, True]


def test_no_answer_before_the_end(sweep_of: Callable[..., Sweep]) -> None:
    """A sweep with too few answers says so; its table is there all the same."""
    failed = sweep_of(0.5, "disk_full", "disk_full")
    with pytest.raises(RunStateError, match="1 of 3"):
        _ = failed.best
    assert "1 of 3" in repr(failed)
    assert list(failed.table().state) == ["completed", "failed", "failed"]


@pytest.mark.slow
def test_three_real_runs(studio: Studio, make_spec: MakeRun) -> None:
    """One call: three runs train on the same rows, any handle waits for them, and the answer is one of the rates."""
    spec = make_spec(learning_rate=3e-3, max_steps=None, dropout=0.0)
    sweep = studio.sweep(spec, max_steps=9)
    best = Studio(home=studio.home).sweep(sweep.id).wait(300).best
    assert [run.state for run in sweep.runs] == ["completed"] * 3
    frame = sweep.table()
    assert list(frame.step) == [9, 9, 9]
    assert frame.loss.nunique() == 3
    assert best.learning_rate in [1e-3, 3e-3, 9e-3]
    assert {run.metrics().tokens.iloc[-1] for run in sweep.runs} == {sweep.runs[0].metrics().tokens.iloc[-1]}
