"""What a user may ask of the loop: packing, evaluation and samples on the way, gradient checkpointing, loss on all tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.errors import RunFailed
from peft_studio.core.runs.metrics import merge_steps, read_metrics
from peft_studio.core.services.run import Run
from tests.e2e.evidence import numbers_of, weights_of
from tests.trained_here import train_here

pytestmark = pytest.mark.slow
MakeSpec = Callable[..., Any]


def run_all(studio: Studio, specs: Iterable[Any]) -> list[Run]:
    """Runs of these, one after the other, in this process."""
    return [train_here(studio, spec) for spec in specs]


def losses(run: Run) -> list[float]:
    return [row.values["loss"] for row in read_metrics(run.folder.metrics) if "loss" in row.values]


def test_the_two_loops_learn_the_same(studio: Studio, make_spec: MakeSpec) -> None:
    """Fast and reference give the same losses and count the same tokens; both say which they are and why."""
    fast, reference = run_all(studio, (make_spec(loop=loop, dropout=0.0) for loop in ("fast", "reference")))
    assert losses(fast) == pytest.approx(losses(reference), rel=1e-4)
    tokens = [[values["tokens"] for values in numbers_of(run).values()] for run in (fast, reference)]
    assert tokens[0] == tokens[1]
    plans = [run.read()[0].plan for run in (fast, reference)]
    assert [plan.loop for plan in plans] == ["fast", "reference"]  # type: ignore[union-attr]
    assert all(plan.loop_reason for plan in plans)  # type: ignore[union-attr]


def test_tokens_are_the_real_ones(studio: Studio, make_spec: MakeSpec) -> None:
    """One epoch counts every token of every row once, padding not at all, in either loop and packed."""
    from peft_studio.core.data import load_encoder

    spec = make_spec(max_steps=None, epochs=1, dropout=0.0, save_steps=50)
    spec = studio.spec(**{**{name: getattr(spec, name) for name in spec.chosen if name != "max_steps"},
                          "model": spec.model, "data": studio.data(spec.data.path)})  # fmt: skip
    encoder = load_encoder(spec.model)
    data = studio.data(spec.data.path)
    real = sum(
        len(encoder.encode(e, max_length=spec.max_length, assistant_only=True).tokens) for e in data.train_examples()
    )
    for run in run_all(
        studio, (spec.replace(**fields) for fields in ({"loop": "fast"}, {"loop": "reference"}, {"packing": True}))
    ):
        assert read_metrics(run.folder.metrics)[-1].values["tokens"] == real, run
        plan = run.read()[0].plan
        assert plan is not None
        assert plan.total_steps == max(merge_steps(read_metrics(run.folder.metrics)))


def test_packing_trains_and_repeats(studio: Studio, make_spec: MakeSpec) -> None:
    """Rows share micro-batches, fewer steps an epoch, the loss falls, and a repeat is the same."""
    spec = make_spec(
        packing=True, batch_size=2, gradient_accumulation_steps=1, max_steps=20, learning_rate=1e-2, dropout=0.1
    )
    first, second, plain = run_all(studio, (spec, spec, spec.replace(packing=False, max_steps=2)))
    assert weights_of(first) == weights_of(second)
    assert losses(first)[-1] < losses(first)[0]
    packed_plan, plain_plan = first.read()[0].plan, plain.read()[0].plan
    assert packed_plan is not None
    assert plain_plan is not None
    assert packed_plan.steps_per_epoch < plain_plan.steps_per_epoch


@pytest.mark.parametrize("loop", ["fast", "reference"])
def test_looking_does_not_change_the_run(studio: Studio, make_spec: MakeSpec, tiny_rows: Any, loop: str) -> None:
    """Evaluation and samples on the way are there at their steps, and leave no trace in the weights, dropout on."""
    data = studio.data(str(tiny_rows), split=0.2, seed=1)
    blind = make_spec(data=data, loop=loop, dropout=0.1)
    seeing = blind.replace(eval_steps=2, sample_prompts=("Please send 5 lamps to Oslo.", "Hello"), sample_steps=3)
    runs = run_all(studio, (blind, seeing))
    assert weights_of(runs[0]) == weights_of(runs[1])
    state = runs[1].read()[0]
    assert [event.step for event in state.evaluations] == [2, 4, 6]
    assert all(event.rows == 9 for event in state.evaluations)
    assert [event.step for event in state.samples] == [3, 3, 6, 6]
    frame = runs[1].metrics()
    assert list(frame[frame.eval_loss.notna()].step) == [2, 4, 6]
    assert list(frame.step) == [1, 2, 3, 4, 5, 6]
    assert runs[0].metrics().eval_loss.notna().sum() == 1


def test_gradient_checkpointing_changes_memory_not_numbers(studio: Studio, make_spec: MakeSpec) -> None:
    """The same weights with and without."""
    plain, checked = run_all(
        studio, (make_spec(loop="reference", gradient_checkpointing=on, dropout=0.1) for on in (False, True))
    )
    assert losses(plain) == pytest.approx(losses(checked), rel=1e-5)


def test_loss_on_all_tokens_or_on_the_answers(studio: Studio, make_spec: MakeSpec) -> None:
    """Both train; on a random model all tokens are as hard, but they are other losses."""
    answers, everything = run_all(studio, (make_spec(assistant_only_loss=only) for only in (True, False)))
    assert losses(answers) != losses(everything)
    assert numbers_of(answers)[6]["tokens"] == numbers_of(everything)[6]["tokens"]


def test_a_fast_loop_that_cannot_be_had_is_refused_in_words(studio: Studio, make_spec: MakeSpec) -> None:
    """Asked for by name where it does not apply: preflight says so, and a run that starts all the same fails with the reason."""
    spec = make_spec(loop="fast", target_modules=("q_proj", "lm_head"))
    assert not studio.check(spec).ready
    run = studio._run(studio._store().create(spec).id)
    studio._compute().submit_job(run.folder)
    with pytest.raises(RunFailed, match="fast loop cannot be used"):
        run.wait(300)


def test_every_nth_step_is_logged(studio: Studio, make_spec: MakeSpec) -> None:
    """``logging_steps`` thins the rows out; those that stay are the same, and the last step is always there."""
    every, fourth = run_all(studio, (make_spec(logging_steps=n, dropout=0.1) for n in (1, 4)))
    assert weights_of(every) == weights_of(fourth)
    assert list(numbers_of(fourth)) == [4, 6]
    assert numbers_of(fourth) == {step: numbers_of(every)[step] for step in (4, 6)}
