"""What is taken for a trainer that hangs, and what never is: by the clock alone, and with a real agent whose trainer is a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import read_events
from peft_studio.core.services.run import Run
from peft_studio.runner.agent.hung import LEAST_S, QUIET_S, HungBrake, Watch, run_unless_hung
from peft_studio.runner.agent.ranks import Ending
from tests.conftest import wait_for
from tests.unit.runner.agent.test_agent import trainer_of, wait_for_step

Launch = Callable[..., Run]
MIN, HOUR = 60.0, 3600.0


class Told:
    """A watch, and its clock."""

    def __init__(self, *, paid: bool = True, scale: float = 1.0) -> None:
        self.watch, self.now_s = Watch(scale=scale, paid=paid), 0.0
        self.watch.look(0.0, works=True)

    def wait(self, seconds: float, *, works: bool = True) -> bool:
        """Look every two seconds for so long; whether it was taken to hang at any time."""
        until_s, hung = self.now_s + seconds, False
        while self.now_s < until_s:
            self.now_s += 2.0
            self.watch.look(self.now_s, works=works)
            hung = hung or self.watch.hangs
        return hung

    def train(self, *steps_s: float) -> bool:
        """Steps that take so long; whether one was taken to hang."""
        self.watch.enter("training")
        hung = False
        for took_s in steps_s:
            hung = self.wait(took_s) or hung
            self.watch.step()
        return hung


def test_a_trainer_without_a_step_hangs_however_much_it_computes() -> None:
    """After a quarter of an hour where steps are quick: a collective whose other end is gone computes as well."""
    told = Told()
    assert not told.train(*[4.0] * 30)
    assert not told.wait(LEAST_S - 4)
    assert told.wait(6)
    assert "its steps take 4 s" in told.watch.say()


@pytest.mark.parametrize(
    ("steps_s", "patience_s"),
    [([240.0] * 8, 20 * 240.0), ([1200.0] + [30.0] * 20, 5 * 1200.0), ([3 * HOUR, 60.0, 60.0], 15 * HOUR), ([2 * HOUR] * 3, 40 * HOUR)],
)  # fmt: skip
def test_a_slow_one_is_given_by_its_own_pace(steps_s: list[float], patience_s: float) -> None:
    """Twenty times its usual step, five times its longest: also the first one, which may have compiled."""
    told = Told()
    assert not told.train(*steps_s)
    assert not told.wait(patience_s - 10, works=False)
    assert told.wait(20, works=False)


@pytest.mark.parametrize("kind", ["loading", "reading", "training", "evaluating", "sampling", "saving"])
def test_what_has_no_pace_may_take_for_ever_as_long_as_it_does_something(kind: str) -> None:
    """A download, an evaluation of many rows, a huge checkpoint, a first step that compiles: hours, with pauses that are not too long."""
    told = Told()
    told.watch.enter(kind)
    for _ in range(12):
        assert not told.wait(QUIET_S - 10, works=False)
        assert not told.wait(2)
    assert told.wait(QUIET_S + 2, works=False)
    assert "nothing that can be seen" in told.watch.say()


def test_evaluating_is_no_step_that_does_not_come() -> None:
    """It takes an hour and a half after steps of seconds; the next one may take twenty times that, and no longer."""
    told = Told()
    told.train(*[4.0] * 10)
    for patience_s, hangs in ((1.5 * HOUR, False), (29 * HOUR, False), (31 * 20 * HOUR, True)):
        told.watch.enter("evaluating")
        assert told.wait(patience_s) is hangs
        assert told.train(*[4.0] * 3) is False


def test_rows_that_come_right_after_a_checkpoint_are_not_its_pace() -> None:
    """Steps of half a minute, a row for each 50th and a checkpoint after each 49th: between the two there is silence for 24 minutes."""
    told = Told()
    told.watch.enter("training")
    for step in range(1, 401):
        assert not told.wait(30.0), step
        if step % 50 == 0:
            told.watch.step()
        if step % 49 == 0:
            told.watch.enter("saving")
            told.watch.enter("training")
    assert told.wait(5 * 50 * 30.0)


def test_a_line_is_a_sign_of_life() -> None:
    """Whoever says what it waits for, as a retried download does, is alive."""
    told = Told()
    told.train(*[4.0] * 10)
    for _ in range(10):
        assert not told.wait(LEAST_S - 10)
        told.watch.hear()


def test_what_slept_beside_its_trainer_saw_no_silence() -> None:
    """A laptop that was closed for the night, or a container that stood still: the first look after it counts as one."""
    told = Told()
    told.train(*[4.0] * 10)
    told.now_s += 9 * HOUR
    assert not told.wait(LEAST_S - 20)


def test_at_home_only_a_step_is_missed() -> None:
    """There a run may wait for hours until another one has brought its model, and costs nothing."""
    told = Told(paid=False)
    told.watch.enter("loading")
    assert not told.wait(24 * HOUR, works=False)
    told.train(*[4.0] * 10)
    assert told.wait(LEAST_S + 2)


def test_a_process_that_cannot_be_killed_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs in a call of the kernel's ends with its machine, and its agent does not wait for that."""
    monkeypatch.setattr("peft_studio.runner.agent.hung.END_S", 0.05)

    async def run() -> Ending:
        brake = HungBrake.__new__(HungBrake)
        brake.hangs = asyncio.Event()
        brake.hangs.set()
        never: asyncio.Task[Ending] = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]
        return await run_unless_hung(never, brake, lambda: None)

    assert asyncio.run(run()).status == -9


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that is paid for, whose agent looks often and gives two seconds."""
    monkeypatch.setenv("STAND_IN_IMPATIENT", "1")
    monkeypatch.setenv("PEFT_STUDIO_HUNG_MIN", str(2 / 60))
    monkeypatch.setenv("PS_LIFETIME_S", "3600")
    return monkeypatch


def warned(run: Run) -> list[str]:
    return [event.code for event in read_events(run.folder.events) if isinstance(event, ev.Warned)]


@pytest.mark.parametrize("how", ["frozen", "spinning"])
def test_one_that_hangs_is_said_and_ended(launch: Launch, impatient: pytest.MonkeyPatch, how: str) -> None:
    """Stopped by a signal, or in a call that computes for ever; as a failure that says what to do, and with its processes gone."""
    run = launch(
        steps=10_000, pause_s=0.1, **({"evaluates_at": 20, "for_s": 0, "hangs": True} if how == "spinning" else {})
    )
    wait_for_step(run, 10)
    trainer = trainer_of(run)
    if how == "frozen":
        trainer.suspend()
    wait_for(lambda: run.state == "failed", "its end", timeout_s=40)
    assert run.failure
    assert (run.failure.code, warned(run)) == ("trainer_hung", ["trainer_hung"])
    assert run.failure.message.startswith("The trainer hangs: it has said nothing for")
    assert "resume" in run.failure.hint.lower()
    assert not trainer.is_running()


def test_one_that_evaluates_for_long_is_not_ended(launch: Launch, impatient: pytest.MonkeyPatch) -> None:
    """Longer than a step may take, and it says nothing."""
    run = launch(steps=20, pause_s=0.1, evaluates_at=10, for_s=5.0)
    assert run.wait(60).state == "completed"
    assert warned(run) == []


def test_one_that_somebody_has_stopped_at_home_is_not_ended(launch: Launch, impatient: pytest.MonkeyPatch) -> None:
    """It costs nothing there; woken, it goes on."""
    impatient.delenv("PS_LIFETIME_S")
    run = launch(steps=40, pause_s=0.1)
    wait_for_step(run, 10)
    trainer = trainer_of(run)
    trainer.suspend()
    asleep = wait_for(lambda: beats(run) > 3 and beats(run), "some seconds")
    assert asleep
    trainer.resume()
    assert run.wait(60).state == "completed"
    assert warned(run) == []


def beats(run: Run) -> float:
    """Seconds since the last step."""
    return run.folder.heartbeat.stat().st_mtime - run.folder.metrics.stat().st_mtime
