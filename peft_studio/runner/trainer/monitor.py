"""What the training loop tells the outside: metrics to their file, events to the agent, anomalies to a person. And what it hears: stop."""

from __future__ import annotations

import time
from typing import Any

import torch

from peft_studio.core.runs.anomalies import AnomalyWatch
from peft_studio.core.runs.events import Event
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.runner.trainer.channel import Channel
from peft_studio.runner.trainer.problems import TrainingStopped

FAILURE_WORDS = {
    "loss_not_finite": "The loss became {loss} at step {step}.",
    "loss_exploded": "The loss rose to {loss:.1f} and stayed there; step {step}.",
}


class Monitor:
    """One per trainer process. Ranks other than 0 have neither metrics nor a speaking channel."""

    def __init__(self, channel: Channel, metrics: MetricsWriter | None) -> None:
        self._channel = channel
        self._metrics = metrics
        self.watch: AnomalyWatch | None = None
        self._tokens = 0
        self._trained_s = 0.0
        self._step_began = 0.0
        self.step = 0

    def start(self, *, step: int, tokens: int, trained_s: float) -> None:
        """Training begins at this step, with what earlier jobs of the run have already done."""
        self.step, self._tokens, self._trained_s = step, tokens, trained_s
        if self._metrics and step:
            self._metrics.rewind(step)
        self._step_began = time.perf_counter()

    def send(self, event: Event) -> None:
        """Hand an event to the agent."""
        self._channel.send(event)

    def count_tokens(self, inputs: dict[str, Any]) -> None:
        """Add a micro-batch's real tokens: padding does not count, and a prefix computed once counts for each row that has it."""
        if "segment_lengths" in inputs:
            segments = inputs["segment_lengths"]
            self._tokens += int(segments.sum()) + int(inputs["shared_prefix"]) * len(segments)
        else:
            self._tokens += int(inputs["attention_mask"].sum())

    def log_step(self, step: int, logs: dict[str, float]) -> None:
        """Write a step's numbers, warn where a rule speaks.

        Raises:
            TrainingStopped: The loss is NaN, infinite or has exploded; going on would spoil the adapter.
        """
        self.step = step
        now = time.perf_counter()
        self._trained_s += now - self._step_began
        self._step_began = now
        if self._metrics is None or self.watch is None:
            return
        loss, norm = logs["loss"], logs.get("grad_norm")
        self._metrics.log(
            step, loss=loss, grad_norm=norm if norm is not None else float("nan"), learning_rate=logs["learning_rate"],
            tokens=float(self._tokens), time_s=self._trained_s,
        )  # fmt: skip
        if code := self.watch.failure_code(loss):
            raise TrainingStopped(code, FAILURE_WORDS[code].format(loss=loss, step=step))
        for warning in self.watch.see_step(step, loss=loss, grad_norm=norm):
            self.send(warning)

    def log_evaluation(self, step: int, eval_loss: float) -> None:
        """Write an evaluation's loss at its step."""
        if self._metrics and self.watch:
            self._metrics.log(step, eval_loss=eval_loss)
            for warning in self.watch.see_evaluation(step, eval_loss=eval_loss):
                self.send(warning)

    def pause(self, seconds: float) -> None:
        """Leave time out of the training time: evaluation, samples, checkpoints of a person's choosing."""
        self._step_began += seconds

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
        flag = torch.tensor(int(stop))
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag)
