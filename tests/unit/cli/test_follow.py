"""A run followed from its files, and how it is drawn."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from peft_studio.cli import progress
from peft_studio.cli.follow import MOST_POINTS, Follower
from peft_studio.cli.terminal import cells
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.system import try_lock
from tests.unit.cli.homes import COMPLETED, LOST, plan, write_run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that trains, whose agent nobody holds yet."""
    return write_run(tmp_path, LOST, name="orders", end=None)


def test_each_look_sees_what_is_new(folder: RunFolder) -> None:
    """The first look sees the past, the next one only what came since; numbers stay."""
    follower = Follower(folder)
    first = follower.look()
    EventLogWriter(folder.events).append(ev.Logged(level="info", text="hello"))
    second = follower.look()

    assert (first.step, first.total, first.first_loss, first.eval_loss) == (12, 20, 2.0, 0.5)
    assert [event.type for event in second.fresh] == ["log"]
    assert (second.step, second.loss) == (first.step, first.loss)


def test_resume_takes_back_later_steps(folder: RunFolder) -> None:
    """After a resume from step 10 the rows of steps 11 and 12 are void, and no pace is told across the gap."""
    follower = Follower(folder)
    assert follower.look().tokens_per_s is not None
    log, rows = EventLogWriter(folder.events, job=2), MetricsWriter(folder.metrics)
    log.append(ev.JobStarted(pid=2, from_step=10))
    rows.rewind(10)
    rows.log(11, loss=0.9, tokens=1100.0)

    seen = follower.look()

    assert seen.step == 11
    assert len(seen.losses) == 11
    assert seen.losses[-1] == 0.9
    assert seen.tokens_per_s is None
    assert seen.left is None


def test_memory_stays_bounded(folder: RunFolder) -> None:
    """However long the run, the curve is at most a few thousand points, with first and last step among them."""
    follower = Follower(folder)
    rows = MetricsWriter(folder.metrics)
    for step in range(13, 3 * MOST_POINTS):
        rows.log(step, loss=1.0)

    seen = follower.look()

    assert len(seen.losses) <= MOST_POINTS
    assert seen.first_loss == 2.0
    assert seen.step == 3 * MOST_POINTS - 1


def test_live_follows_the_lock(folder: RunFolder) -> None:
    """A run is live exactly while an agent holds its lock."""
    follower = Follower(folder)
    assert follower.look().standing.state == "lost"
    with folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock)
        assert follower.look().live


@pytest.mark.parametrize("width", [80, 50, 30])
def test_block_fits(folder: RunFolder, width: int) -> None:
    """Every line but the hint fits the width; state, step, loss and pace are all there."""
    with folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock)
        folder.heartbeat.touch()
        lines = [
            "".join(text for text, _ in line)
            for line in progress.block(Follower(folder).look(), width=width, unicode=True)
        ]

    said = " ".join(lines)
    assert max(cells(line) for line in lines[:-1]) <= width
    for words in ("Training", "step 12 of 20", "loss 0.167", "from 2.000", "tokens/s"):
        assert words in said


def test_block_without_unicode_is_ascii(folder: RunFolder) -> None:
    """Where bars cannot be written, plain characters stand for them."""
    with folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock)
        folder.heartbeat.touch()
        lines = progress.block(Follower(folder).look(), width=80, unicode=False)

    assert "".join(text for line in lines for text, _ in line).isascii()


def test_news_of_the_past_is_short(folder: RunFolder) -> None:
    """Attaching late repeats warnings and the plan, not every evaluation; those are told as they come."""
    seen = Follower(folder).look()

    assert [text.split()[0] for text, _ in progress.news(seen, first=True)] == ["20", "Note", "→"]
    assert "Evaluation at step 12: loss 0.500 on 40 held-out rows" in [text for text, _ in progress.news(seen)]


def test_sparkline() -> None:
    """Lowest is lowest, highest is highest; a step without a number is a gap; a flat curve is flat."""
    assert progress.sparkline([3.0, 2.0, 1.0, math.nan], 4) == "█▅▁ "
    assert progress.sparkline([1.0] * 8, 4) == "▁▁▁▁"
    assert progress.sparkline([math.nan], 4) == ""


def test_plan_words() -> None:
    """What is about to be trained, in one line with its units."""
    assert progress.plan_words(plan(total=20)) == (
        "20 steps on cpu in fp32, training 2.44 M of 137 M parameters (1.8 %); fast loop"
    )


def test_completed_run_is_not_live(tmp_path: Path) -> None:
    """A run that ended promises no time left."""
    seen = Follower(write_run(tmp_path, COMPLETED, name="x", end="completed")).look()

    assert not seen.live
    assert seen.left is None
    assert progress.line(seen).startswith("Completed  step 12 of 20 (60 %)")
