"""Two real steps before a run, on the neediest micro-batch it can meet, and an evaluation batch: what they take, and whether they fit.

The run does not notice: weights of the adapter, optimizer, loss scale, token counts and random states are afterwards what they were.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy
import torch

from peft_studio.core.estimators.work import PROBE_STEPS
from peft_studio.core.runs.events import Probed
from peft_studio.core.system import forget_peak_memory, peak_memory_bytes
from peft_studio.runner.trainer.evaluate import measure_loss
from peft_studio.runner.trainer.loop import StudioTrainer
from peft_studio.runner.trainer.problems import TrainingStopped, is_out_of_memory
from peft_studio.runner.trainer.rows import Row


def probe(trainer: StudioTrainer, items: list[Any], evaluation: list[Row], *, accumulates: bool) -> Probed:
    """Train on ``items``, a micro-batch as the data set has it, then evaluate; call it when Trainer has prepared model and optimizer.

    Raises:
        TrainingStopped: Memory ran out.
    """
    device = trainer.args.device
    forget_peak_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        with _unnoticed(trainer):
            inputs = trainer.data_collator(items)
            tokens = _tokens_of(inputs)
            took = [_step(trainer, inputs, keep_gradients=accumulates and number == 0) for number in range(PROBE_STEPS)]
            evaluated_s = _evaluate(trainer, evaluation)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingStopped(
            "out_of_memory",
            f"The probe before the run went out of memory, on the longest micro-batch of this data; nothing was trained. {error}",
        ) from error
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
    allocated = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Probed(
        steps=PROBE_STEPS, step_s=took[-1], evaluation_s=evaluated_s, tokens=tokens,
        allocated_bytes=allocated, resident_bytes=peak_memory_bytes(),
    )  # fmt: skip


def _step(trainer: StudioTrainer, inputs: dict[str, Any], *, keep_gradients: bool) -> float:
    """One micro-batch forward and back, and the optimizer's work; returns its seconds.

    Kept gradients are there in the next step's forward pass, as accumulation has them.
    """
    model: Any = trainer.model_wrapped
    began = time.perf_counter()
    trainer.training_step(model, dict(inputs), num_items_in_batch=None)
    trainer._clip_grad_norm(model)
    trainer.optimizer.step()
    if not keep_gradients:
        model.zero_grad()
    if trainer.args.device.type == "cuda":
        torch.cuda.synchronize(trainer.args.device)
    return time.perf_counter() - began


def _evaluate(trainer: StudioTrainer, rows: list[Row]) -> float:
    began = time.perf_counter()
    if rows:
        measure_loss(trainer, rows, batch_size=len(rows))
    return time.perf_counter() - began


def _tokens_of(inputs: dict[str, Any]) -> int:
    """What the device computes, padding included."""
    return int(inputs["input_ids"].numel())


@contextlib.contextmanager
def _unnoticed(trainer: StudioTrainer) -> Iterator[None]:
    """Put back all that a step changes. Copies of the adapter wait in main memory, off the device that is measured."""
    trained = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    weights = [parameter.detach().to("cpu", copy=True) for parameter in trained]
    scaler = trainer.accelerator.scaler
    scale = scaler.state_dict() if scaler is not None else None
    trainer.accelerator.gradient_state._set_sync_gradients(True)  # the loop sets both again before each of its steps
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    try:
        with _same_random_states(), trainer.monitor.unheard():
            yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(trained, weights, strict=True):
                parameter.copy_(before)
                parameter.grad = None
        inner: Any = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
        inner.state.clear()  # the run has not begun: there was none
        if scale is not None:
            scaler.load_state_dict(scale)


@contextlib.contextmanager
def _same_random_states() -> Iterator[None]:
    python, numbers, cpu = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(numbers)
        torch.set_rng_state(cpu)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)
