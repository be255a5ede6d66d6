"""How fast, and how long still."""

from __future__ import annotations

import random
from types import MappingProxyType

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.metrics import Row
from peft_studio.core.runs.pace import Ahead, Pace, find_ahead
from peft_studio.core.runs.state import RunState, fold
from peft_studio.core.spec import RunSpec
from tests.unit.core.runs.conftest import build_spec


def steady(count: int, *, s_per_step: float = 2.0, start: int = 1, at: float = 0.0) -> list[Row]:
    return [Row(start + n, at + n * s_per_step, {"loss": 1.0, "tokens": (start + n) * 100.0}) for n in range(count)]


def uneven(count: int, *, fixed_s: float, token_s: float, seed: int = 0) -> tuple[list[Row], list[int]]:
    """Rows of steps whose time is ``fixed_s`` and ``token_s`` for each of their tokens."""
    draw = random.Random(seed)
    sizes = [round(200 * draw.lognormvariate(0, 0.5)) for _ in range(count)]
    rows, spent, total = [], 0.0, 0
    for step, size in enumerate(sizes, 1):
        spent, total = spent + fixed_s + token_s * size, total + size
        rows.append(Row(step, 1000 + spent, {"loss": 1.0, "tokens": float(total), "time_s": spent}))
    return rows, sizes


def test_a_steady_pace_is_exact() -> None:
    """Two seconds a step and a hundred tokens a step are fifty tokens a second and no range."""
    pace = Pace()
    pace.add(steady(40))

    left = pace.left(Ahead(30))

    assert left is not None
    assert (left.value_s, left.low_s, left.high_s) == pytest.approx((60.0, 60.0, 60.0))
    assert pace.tokens_per_s() == pytest.approx(50.0)


def test_a_pace_that_changes_has_a_range() -> None:
    """Steps that became slower: the range holds the pace of then and of now, the value is that of now."""
    pace = Pace()
    pace.add(steady(40, s_per_step=1.0))
    pace.add(steady(40, s_per_step=3.0, start=41, at=42.0))

    left = pace.left(Ahead(10))

    assert left is not None
    assert left.low_s == pytest.approx(20.0, rel=0.1)
    assert left.value_s == left.high_s == pytest.approx(30.0, rel=0.1)


def test_uneven_steps_are_told_by_their_tokens() -> None:
    """After 20 steps the rest is known to 1 %, though steps differ by a factor of five."""
    rows, sizes = uneven(400, fixed_s=0.05, token_s=0.001)
    pace = Pace()
    pace.add(rows[:20])

    left = pace.left(Ahead(380, tokens=float(sum(sizes[20:]))))
    blind = pace.left(Ahead(380))

    assert left is not None
    assert blind is not None
    actual = rows[-1].values["time_s"] - rows[19].values["time_s"]
    assert left.value_s == pytest.approx(actual, rel=0.01)
    assert abs(blind.value_s / actual - 1) > 0.03


def test_checkpoints_are_nobodys_pace() -> None:
    """What saving took is left out of the step after it, and counted for what is still to be saved."""
    rows = [Row(n, n * 1.0 + (5.0 if n > 10 else 0.0), {"loss": 1.0, "tokens": n * 10.0}) for n in range(1, 21)]
    pace = Pace()
    pace.add(rows)

    left = pace.left(Ahead(20, other_s=10.0, paused_s=MappingProxyType({10: 5.0})))

    assert left is not None
    assert left.value_s == pytest.approx(30.0)


def test_too_few_rows_say_nothing() -> None:
    """Unknown is None, not a guess."""
    pace = Pace()
    pace.add(steady(3))

    assert pace.left(Ahead(10)) is None
    assert pace.tokens_per_s() is None
    assert Pace().tokens is None


def test_going_back_starts_afresh() -> None:
    """After a resume the time in between counts for nothing."""
    pace = Pace()
    pace.add(steady(40))
    pace.add(steady(20, start=10, at=10_000.0))

    left = pace.left(Ahead(10))

    assert left is not None
    assert left.high_s == pytest.approx(20.0)


def test_tokens_that_are_not_logged_are_unknown() -> None:
    """No tokens in the rows: no throughput."""
    pace = Pace()
    pace.add([Row(step, float(step), {"loss": 1.0}) for step in range(10)])

    assert pace.tokens_per_s() is None


def run_at(*happened: ev.Event, total: int = 100, eval_rows: int = 10) -> RunState:
    plan = ev.Planned(
        total_steps=total, steps_per_epoch=50, train_rows=400, eval_rows=eval_rows, trainable_parameters=1, total_parameters=2,
        device="cpu", precision="fp32", loop="fast", loop_reason="", epoch_tokens=5000,
    )  # fmt: skip
    return fold([plan, *happened])


def ahead_of(state: RunState, spec: RunSpec, *, step: int, tokens: float | None = None) -> Ahead:
    found = find_ahead(
        state,
        spec,
        step=step,
        tokens=tokens,
        predicted={"checkpoint": 1.0, "evaluation": 10.0, "sample": 100.0, "export": 1000.0},
    )
    assert found is not None
    return found


def test_everything_still_to_come_is_counted() -> None:
    """Checkpoints, evaluations, samples and the saving at the end, each as often as it will happen."""
    spec = build_spec(max_steps=100, save_steps=30, eval_steps=25, sample_steps=40, sample_prompts=("a", "b"))

    assert ahead_of(run_at(), spec, step=0).other_s == 4 * 1 + 4 * 10 + 3 * 2 * 100 + 1000
    assert ahead_of(run_at(), spec, step=60).other_s == 2 * 1 + 2 * 10 + 2 * 2 * 100 + 1000
    assert ahead_of(run_at(), spec, step=100).other_s == 10 + 1000
    assert ahead_of(run_at(eval_rows=0), spec, step=100).other_s == 1000


def test_what_happened_is_believed_over_what_was_predicted() -> None:
    """After the first evaluation and checkpoint the rest take as long as they did."""
    spec = build_spec(max_steps=100, save_steps=50, eval_steps=50)
    saved = ev.CheckpointSaved(step=50, path="c", size_bytes=1, sha256="", duration_s=0.25)
    state = run_at(saved, ev.Evaluated(step=50, loss=1.0, rows=10, duration_s=4.0))

    ahead = ahead_of(state, spec, step=50)

    assert ahead.other_s == pytest.approx(0.25 + 4.0 + 1000)
    assert ahead.paused_s == {50: 0.25}


def test_tokens_ahead_are_those_of_the_epochs() -> None:
    """Two epochs of 5,000 tokens, less those that were trained on."""
    assert ahead_of(run_at(), build_spec(max_steps=100), step=20, tokens=2400.0).tokens == pytest.approx(7600.0)
    assert find_ahead(RunState(), build_spec(), step=0, tokens=None, predicted={}) is None
