"""The state of a run as a fold over its events, and how it stands when its agent is silent or gone."""

from __future__ import annotations

from typing import Any

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.state import LIVE, STALE_S, STATES, TERMINAL, RunState, fold, standing

PLAN = ev.Planned(
    total_steps=10, steps_per_epoch=5, train_rows=40, eval_rows=4, trainable_parameters=1, total_parameters=2,
    device="cpu", precision="fp32", loop="reference", loop_reason="asked for",
)  # fmt: skip
CREATED, JOB = ev.Created(name="n"), ev.JobStarted(pid=1)


def phase(name: str) -> ev.Event:
    return ev.PhaseEntered(phase=name)


def numbered(*events: ev.Event) -> list[ev.Event]:
    return [event.model_copy(update={"seq": n, "at": float(n)}) for n, event in enumerate(events, 1)]


def checkpoint(step: int) -> ev.Event:
    return ev.CheckpointSaved(
        step=step, path=f"checkpoints/checkpoint-{step}", size_bytes=1, sha256="0", duration_s=0.1
    )


FAILED = ev.Finished(state="failed", failure=ev.Failure(code="unexpected", message="m"))
ADAPTER = ev.AdapterSaved(path="adapter", step=10, sha256="0", size_bytes=1)

TABLE: list[tuple[list[ev.Event], str]] = [
    ([], "queued"),
    ([CREATED], "queued"),
    ([CREATED, JOB], "queued"),
    ([CREATED, JOB, phase("queued")], "queued"),
    ([CREATED, JOB, phase("loading")], "preparing"),
    ([CREATED, JOB, phase("reading")], "preparing"),
    ([CREATED, JOB, phase("reading"), PLAN], "preparing"),
    ([CREATED, JOB, phase("training")], "training"),
    ([CREATED, JOB, phase("training"), checkpoint(2)], "training"),
    ([CREATED, JOB, phase("training"), ev.StopRequested(save=True)], "training"),
    ([CREATED, JOB, phase("evaluating")], "evaluating"),
    ([CREATED, JOB, phase("saving")], "saving"),
    ([CREATED, JOB, phase("saving"), ADAPTER], "saving"),
    ([CREATED, JOB, phase("saving"), ADAPTER, ev.Finished(state="completed")], "completed"),
    ([CREATED, JOB, phase("training"), ev.Finished(state="stopped")], "stopped"),
    ([CREATED, JOB, phase("training"), FAILED], "failed"),
    ([CREATED, JOB, phase("training"), FAILED, JOB], "queued"),
    ([CREATED, JOB, phase("a phase of the future")], "queued"),
    ([CREATED, JOB, phase("training"), ev.Event(type="teleported")], "training"),
]


@pytest.mark.parametrize(("events", "state"), TABLE)
def test_state_after(events: list[ev.Event], state: str) -> None:
    """Each prefix of a run's life shows as the state that a person expects."""
    found = fold(numbered(*events))
    assert found.state == state
    assert found.last_seq == len(events)
    assert found.is_terminal == (state in TERMINAL)


@pytest.mark.parametrize("events", [events for events, _ in TABLE])
def test_folding_in_pieces_is_folding_at_once(events: list[ev.Event]) -> None:
    """A state may be carried on from any point."""
    whole = numbered(*events)
    for cut in range(len(whole) + 1):
        assert fold(whole[cut:], fold(whole[:cut])) == fold(whole)


def test_a_resume_forgets_what_came_after_its_checkpoint() -> None:
    """Checkpoints, evaluations, samples and warnings of later steps are void; adapter, failure and stop request too."""
    past: list[Any] = [CREATED, JOB, phase("training")]
    for step in (2, 4, 6):
        past += [
            checkpoint(step),
            ev.Evaluated(step=step, loss=1.0, rows=4, duration_s=0.1),
            ev.Sampled(step=step, prompt="p", text="t"),
            ev.Warned(code=f"w{step}", step=step, message="m"),
        ]
    past += [ev.StopRequested(save=True), ADAPTER, FAILED]

    state = fold(numbered(*past, ev.JobStarted(pid=2, from_step=4).model_copy(update={"job": 2})))

    for kind in (state.checkpoints, state.evaluations, state.samples, state.warnings):
        assert [event.step for event in kind] == [2, 4]
    assert (state.failure, state.adapter, state.stop_requested) == (None, None, None)
    assert (state.state, state.from_step) == ("queued", 4)


def test_phases_have_begin_and_end() -> None:
    """A phase ends where the next begins, the last where the run ends; over a resume none stays open."""
    events = numbered(CREATED, JOB, phase("queued"), phase("loading"), FAILED, JOB, phase("queued"))
    state = fold(events)
    assert [(p.phase, p.began_at, p.ended_at) for p in state.phases] == [
        ("queued", 3.0, 4.0), ("loading", 4.0, 5.0), ("queued", 7.0, None),
    ]  # fmt: skip


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("silent_s", [0.0, STALE_S - 0.1, STALE_S + 0.1, 1e6])
def test_standing(state: str, alive: bool, silent_s: float) -> None:
    """An ended run stands as it ended. A live one without an agent is lost; with a silent agent its word is stale."""
    found = standing(RunState(state=state, last_at=50.0), agent_alive=alive, heard_at=100.0, now=100.0 + silent_s)
    if state in TERMINAL:
        assert (found.state, found.heard_s, found.stale) == (state, None, False)
    else:
        assert found.state == (state if alive else "lost")
        assert found.heard_s == pytest.approx(silent_s)
        assert found.stale == (silent_s > STALE_S)


def test_a_clock_set_back_is_not_a_silent_agent() -> None:
    """A heartbeat from the future is a sign of life."""
    assert standing(RunState(state="training"), agent_alive=True, heard_at=200.0, now=100.0).heard_s == 0.0


def test_an_event_is_a_sign_of_life_too() -> None:
    """The later of heartbeat and last event counts."""
    state = RunState(state="training", last_at=99.0)
    assert standing(state, agent_alive=True, heard_at=10.0, now=100.0).heard_s == pytest.approx(1.0)
    assert standing(state, agent_alive=True, heard_at=None, now=100.0).heard_s == pytest.approx(1.0)


def test_every_state_is_live_terminal_or_lost() -> None:
    """The three kinds of states cover all of them and do not overlap."""
    assert set(STATES) == LIVE | TERMINAL | {"lost"}
    assert not LIVE & TERMINAL
    assert set(ev.PHASES.values()) <= LIVE


def test_a_clock_elsewhere_that_is_ahead_hides_no_silence() -> None:
    """Its events are of tomorrow; what counts is when it was last heard here."""
    state = RunState(state="training", last_at=86_400.0)
    assert standing(state, agent_alive=True, heard_at=100.0, now=100.0 + 2 * STALE_S).stale


def test_a_machine_for_a_run_that_had_ended_means_that_it_goes_on() -> None:
    """It is live again before that machine says its first word."""
    failure = ev.Failure(code="disk_full", message="full")
    events = numbered(ev.Created(), ev.JobStarted(pid=1), ev.Finished(state="failed", failure=failure), machine())
    state = fold(events)
    assert (state.state, state.failure) == ("provisioning", None)
    assert fold(numbered(ev.Created(), machine())).state == "queued"


def machine() -> ev.Event:
    return ev.MachineRented(provider="alpha", label="ps-1", gpu="L4", usd_per_hour="0.39")


def test_on_what_it_trains() -> None:
    """Several devices by number and strategy; one by its kind, as the plan has it; nothing before either is known. A resume may have others."""

    def taken(count: int, strategy: Any) -> ev.Event:
        return ev.DevicesTaken(processes=count, strategy=strategy, device="A100", reason="r")

    assert fold([CREATED, JOB]).trains_on is None
    assert fold([CREATED, JOB, taken(1, "single"), PLAN]).trains_on == "cpu"
    assert fold([CREATED, JOB, taken(2, "fsdp")]).trains_on == "2 × A100, FSDP"
    assert fold([CREATED, JOB, taken(2, "fsdp"), PLAN, JOB, taken(4, "ddp")]).trains_on == "4 × A100, DDP"
