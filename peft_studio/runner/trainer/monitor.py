"""What the training loop tells the outside: metrics to their file, events to the agent, anomalies to a person. And what it hears: stop."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from peft_studio.core.runs.anomalies import AnomalyWatch
from peft_studio.core.runs.events import Doing, Event
from peft_studio.core.runs.metrics import MetricsWriter, Row
from peft_studio.runner.trainer.channel import Channel
from peft_studio.runner.trainer.problems import TrainingStopped
from peft_studio.runner.trainer.rows import IGNORED
from peft_studio.runner.trainer.world import any_rank, sum_over_ranks

PROGRESS = "progress.json"  # in a checkpoint: what the run had done by then
FAILURE_WORDS = {
    "loss_not_finite": "The loss became {loss} at step {step}.",
    "loss_exploded": "The loss rose to {loss:.1f} and stayed there; step {step}.",
}


class Monitor:
    """One per trainer process. Of several, those other than rank 0 have neither metrics nor anything to say."""

    def __init__(self, channel: Channel, *, speaks: bool = True) -> None:
        self._channel = channel
        self._speaks = speaks
        self.metrics: MetricsWriter | None = None
        self.watch: AnomalyWatch | None = None
        self._tokens = 0  # of this rank, since the last logged step
        self._all_tokens = 0  # of all ranks, since the run began
        self._trained_s = 0.0
        self._step_began = 0.0
        self.step = 0

    def start(self, watch: AnomalyWatch, *, step: int, checkpoint: Path | None, past: Iterable[Row]) -> None:
        """Training begins after this step; ``checkpoint`` and the ``past`` rows hold what earlier jobs of the run have done."""
        self.watch, self.step = watch, step
        if checkpoint:
            done = json.loads((checkpoint / PROGRESS).read_text(encoding="utf-8"))
            self._all_tokens, self._trained_s = done["tokens"], done["trained_s"]
        for row in past:  # what was said about them was said then
            if row.step <= step and "loss" in row.values:
                watch.failure_code(row.values["loss"])
                watch.see_step(row.step, loss=row.values["loss"], grad_norm=row.values["grad_norm"])
            elif row.step <= step and "eval_loss" in row.values:
                watch.see_evaluation(row.step, eval_loss=row.values["eval_loss"])
        if self.metrics:
            self.metrics.rewind(step)  # also to 0: a job that died before its first checkpoint has left rows
        self._step_began = time.perf_counter()

    def save_progress(self, checkpoint: Path) -> None:
        """Put into a checkpoint what :meth:`start` needs to go on from it."""
        done = {"tokens": self._all_tokens, "trained_s": self._trained_s}
        (checkpoint / PROGRESS).write_text(json.dumps(done), encoding="utf-8")

    def send(self, event: Event) -> None:
        """Hand an event to the agent."""
        if self._speaks:
            self._channel.send(event)

    def count_tokens(self, inputs: dict[str, Any]) -> None:
        """Add a micro-batch's real tokens: padding does not count, and a prefix computed once counts for each row that has it.

        One that teaches nothing is a filler (see ``dealing``) and does not count either.
        """
        if "labels" in inputs and not bool((inputs["labels"] != IGNORED).any()):
            return
        if "segment_lengths" in inputs:
            segments = inputs["segment_lengths"]
            self._tokens += int(segments.sum()) + int(inputs["shared_prefix"]) * len(segments)
        else:
            self._tokens += int(inputs["attention_mask"].sum())

    def log_step(self, step: int, logs: dict[str, float], *, last: bool) -> None:
        """Take a step's numbers, write them where ``logging_steps`` says, warn where a rule speaks.

        Raises:
            TrainingStopped: Loss or gradient is NaN or infinite, or the loss has exploded; going on would spoil the adapter.
        """
        assert self.watch
        self.step = step
        now = time.perf_counter()
        self._trained_s += now - self._step_began
        self._step_began = now
        self._all_tokens += int(sum_over_ranks(self._tokens)[0])
        self._tokens = 0
        loss, norm, spec = logs["loss"], logs.get("grad_norm"), self.watch.spec
        if self.metrics and (last or step % spec.logging_steps == 0):
            self.metrics.log(
                step, loss=loss, grad_norm=norm if norm is not None else float("nan"), learning_rate=logs["learning_rate"],
                tokens=float(self._all_tokens), time_s=self._trained_s,
            )  # fmt: skip
        if code := self.watch.failure_code(loss):
            raise TrainingStopped(code, FAILURE_WORDS[code].format(loss=loss, step=step))
        # Under loss scaling (fp16) such a step is skipped and no harm done; else it has just gone into the weights.
        if norm is not None and not isfinite(norm) and spec.precision != "fp16":
            raise TrainingStopped(
                "loss_not_finite", f"The gradient became {norm} at step {step}, the loss was {loss:.3g}."
            )
        for warning in self.watch.see_step(step, loss=loss, grad_norm=norm):
            self.send(warning)

    def log_evaluation(self, step: int, eval_loss: float) -> None:
        """Write an evaluation's loss at its step."""
        if self.metrics and self.watch:
            self.metrics.log(step, eval_loss=eval_loss)
            for warning in self.watch.see_evaluation(step, eval_loss=eval_loss):
                self.send(warning)

    def pause(self, seconds: float) -> None:
        """Leave time out of the training time: evaluation, samples, checkpoints of a person's choosing."""
        self._step_began += seconds

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """What is computed meanwhile belongs to no step: its tokens and its time are left out."""
        tokens, began = self._tokens, time.perf_counter()
        try:
            yield
        finally:
            self._tokens = tokens
            self.pause(time.perf_counter() - began)

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Tell the agent that something between two steps begins, which has another pace than they, and that it is over."""
        self.send(Doing(what=what))
        try:
            yield
        finally:
            self.send(Doing())

    @property
    def stopped(self) -> bool:
        """Whether somebody asked for a stop."""
        return self._channel.stop_requested.is_set()

    @property
    def orphaned(self) -> bool:
        """Whether the agent is gone."""
        return self._channel.orphaned.is_set()

    def should_stop(self, *, everyone: bool = False) -> bool:
        """Whether to end after this step. With several processes all must agree, or they would wait for each other for ever."""
        stop = self._channel.stop_requested.is_set() or self._channel.orphaned.is_set()
        if not everyone:
            return stop
        return any_rank(stop)
