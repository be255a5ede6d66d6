"""What the loop reports: rows where they were asked for, warnings once, and an end where going on would spoil the adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.anomalies import AnomalyWatch
from peft_studio.core.runs.metrics import MetricsWriter, Row, read_metrics
from peft_studio.runner.trainer.monitor import Monitor
from peft_studio.runner.trainer.problems import TrainingStopped
from tests.unit.core.runs.conftest import build_spec


class Listener:
    """A channel that keeps what it is sent."""

    def __init__(self) -> None:
        import threading

        self.sent: list[ev.Event] = []
        self.stop_requested, self.orphaned = threading.Event(), threading.Event()

    def send(self, event: ev.Event) -> None:
        self.sent.append(event)

    def codes(self) -> list[str]:
        return [event.code for event in self.sent if isinstance(event, ev.Warned)]


@pytest.fixture
def listener() -> Listener:
    return Listener()


def build(
    listener: Any,
    path: Path,
    *,
    past: list[Row] | None = None,
    step: int = 0,
    checkpoint: Path | None = None,
    **fields: Any,
) -> Monitor:
    spec = build_spec(**fields)
    monitor = Monitor(listener)
    monitor.metrics = MetricsWriter(path)
    watch = AnomalyWatch(spec, total_steps=100, vocabulary=1000, train_rows=40)
    monitor.start(watch, step=step, checkpoint=checkpoint, past=past or [])
    return monitor


def log(monitor: Monitor, step: int, loss: float = 1.0, norm: float | None = 1.0, *, last: bool = False) -> None:
    monitor.count_tokens({"attention_mask": torch.ones(2, 5)})
    monitor.log_step(
        step, {"loss": loss, "learning_rate": 1e-3, **({} if norm is None else {"grad_norm": norm})}, last=last
    )


def test_a_step_is_a_row(listener: Listener, tmp_path: Path) -> None:
    """Loss, norm, rate, tokens so far and seconds so far."""
    monitor = build(listener, tmp_path / "m")
    for step in (1, 2, 3):
        log(monitor, step, norm=None if step == 3 else 1.0)
    rows = read_metrics(tmp_path / "m")
    assert [row.values["tokens"] for row in rows] == [10.0, 20.0, 30.0]
    assert set(rows[0].values) == {"loss", "grad_norm", "learning_rate", "tokens", "time_s"}
    assert str(rows[2].values["grad_norm"]) == "nan"
    assert rows[0].values["time_s"] <= rows[1].values["time_s"] <= rows[2].values["time_s"]


def test_shared_prefixes_count_for_every_row(listener: Listener, tmp_path: Path) -> None:
    """Computed once, read by three rows: 4 + 5 + 6 own tokens and three times 7."""
    monitor = build(listener, tmp_path / "m")
    monitor.count_tokens({"segment_lengths": torch.tensor([4, 5, 6]), "shared_prefix": torch.tensor([7])})
    monitor.log_step(1, {"loss": 1.0, "learning_rate": 0.1}, last=False)
    assert read_metrics(tmp_path / "m")[0].values["tokens"] == 36.0


def test_rows_where_they_were_asked_for(listener: Listener, tmp_path: Path) -> None:
    """Every third, and the last."""
    monitor = build(listener, tmp_path / "m", logging_steps=3)
    for step in range(1, 9):
        log(monitor, step, last=step == 8)
    rows = read_metrics(tmp_path / "m")
    assert [(row.step, row.values["tokens"]) for row in rows] == [(3, 30.0), (6, 60.0), (8, 80.0)]


@pytest.mark.parametrize(
    ("loss", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan")), (1.0, float("inf"))]
)
def test_what_is_not_finite_ends_the_run(listener: Listener, tmp_path: Path, loss: float, norm: float) -> None:
    """Loss or gradient, also at a step that is not written; the message names the step."""
    monitor = build(listener, tmp_path / "m", logging_steps=50)
    with pytest.raises(TrainingStopped, match="step 7") as caught:
        log(monitor, 7, loss, norm)
    assert caught.value.code == "loss_not_finite"


def test_a_step_that_loss_scaling_skips_is_no_failure(listener: Listener, tmp_path: Path) -> None:
    """In fp16 an infinite gradient is how the scale is found."""
    log(build(listener, tmp_path / "m", precision="fp16"), 1, 1.0, float("inf"))
    assert len(read_metrics(tmp_path / "m")) == 1


def test_an_exploded_loss_ends_the_run(listener: Listener, tmp_path: Path) -> None:
    """Not at the first peak, but when it stays."""
    monitor = build(listener, tmp_path / "m")
    log(monitor, 1, 2.0)
    log(monitor, 2, 90.0)
    log(monitor, 3, 2.0)
    for step in range(4, 8):
        log(monitor, step, 90.0)
    with pytest.raises(TrainingStopped, match=r"90\.0") as caught:
        log(monitor, 8, 90.0)
    assert caught.value.code == "loss_exploded"


def test_a_warning_is_said_once_also_over_a_resume(listener: Listener, tmp_path: Path) -> None:
    """A resumed job knows what was said about the rows before it."""
    first = build(listener, tmp_path / "m")
    for step in range(1, 9):
        log(first, step, 50.0 if step == 1 else 5.0, 500.0)
    assert listener.codes() == ["first_loss_high", "grad_norm_high"]
    again = Listener()
    checkpoint = tmp_path / "c"
    checkpoint.mkdir()
    first.save_progress(checkpoint)
    second = build(again, tmp_path / "m", past=read_metrics(tmp_path / "m"), step=6, checkpoint=checkpoint)
    for step in range(7, 12):
        log(second, step, 5.0, 500.0)
    assert again.codes() == []


def test_a_resume_goes_on_counting(listener: Listener, tmp_path: Path) -> None:
    """Tokens and time of the checkpoint are added to; rows of later steps are void."""
    monitor = build(listener, tmp_path / "m", logging_steps=4)
    checkpoint = tmp_path / "c"
    checkpoint.mkdir()
    for step in range(1, 9):
        log(monitor, step)
        if step == 6:
            monitor.save_progress(checkpoint)
    assert json.loads((checkpoint / "progress.json").read_text())["tokens"] == 60
    resumed = build(
        listener, tmp_path / "m", logging_steps=4, step=6, checkpoint=checkpoint, past=read_metrics(tmp_path / "m")
    )
    for step in range(7, 9):
        log(resumed, step)
    assert [(row.step, row.values["tokens"]) for row in read_metrics(tmp_path / "m")] == [(4, 40.0), (8, 80.0)]


def test_a_job_from_the_start_voids_what_an_earlier_one_left(listener: Listener, tmp_path: Path) -> None:
    """Killed before its first checkpoint, the earlier job's steps are not part of the new one."""
    earlier = build(listener, tmp_path / "m")
    for step in range(1, 5):
        log(earlier, step)
    build(listener, tmp_path / "m")
    assert read_metrics(tmp_path / "m") == []


def test_stop_is_asked_or_the_agent_is_gone(listener: Listener, tmp_path: Path) -> None:
    """Either ends the loop; they are told apart afterwards."""
    monitor = build(listener, tmp_path / "m")
    assert not monitor.should_stop()
    listener.orphaned.set()
    assert (monitor.should_stop(), monitor.stopped, monitor.orphaned) == (True, False, True)
    listener.stop_requested.set()
    assert monitor.stopped


def test_evaluations_are_rows_and_pauses_no_training_time(listener: Listener, tmp_path: Path) -> None:
    """The loss stands at its step; what an evaluation took is not counted as training."""
    monitor = build(listener, tmp_path / "m")
    log(monitor, 1)
    monitor.pause(1000.0)
    monitor.log_evaluation(1, 0.5)
    log(monitor, 2)
    rows = read_metrics(tmp_path / "m")
    assert rows[1].values == {"eval_loss": 0.5}
    assert rows[2].values["time_s"] < 0
