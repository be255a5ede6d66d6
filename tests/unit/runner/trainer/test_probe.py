"""A probe takes real steps, says what they took, and leaves everything as it was."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy
import torch
from transformers import TrainerCallback

from peft_studio.core.runs.events import Probed
from peft_studio.runner.trainer.channel import Channel
from peft_studio.runner.trainer.dealing import build_part
from peft_studio.runner.trainer.loop import StudioTrainer, build_arguments
from peft_studio.runner.trainer.monitor import Monitor
from peft_studio.runner.trainer.order import Layout
from peft_studio.runner.trainer.probe import probe
from peft_studio.runner.trainer.problems import TrainingStopped
from peft_studio.runner.trainer.rows import Collator, PadJoin
from peft_studio.runner.trainer.world import World
from tests.unit.runner.trainer.fast.tiny_models import build_model, build_rows

ROWS = build_rows((7, 20, 13, 30, 9, 11))


class Witness(TrainerCallback):
    """Probes when training begins, and notes the state before and after; training itself does not happen."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.trainer: Any = None
        self.before: Any = None
        self.after: Any = None
        self.found: Probed | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Model and optimizer are prepared."""
        self.before = self._state()
        try:
            self.found = probe(self.trainer, self.items, ROWS[:2], accumulates=True)
        finally:
            self.after = self._state()
        control.should_training_stop = True
        return control

    def _state(self) -> list[Any]:
        trainer = self.trainer
        trained = [p for p in trainer.model.parameters() if p.requires_grad]
        return [
            [p.detach().clone() for p in trained], [p.grad for p in trained], dict(trainer.optimizer.optimizer.state),
            trainer.lr_scheduler.state_dict(), torch.get_rng_state(), random.getstate(), numpy.random.get_state(), trainer.monitor._tokens,
        ]  # fmt: skip


def build_trainer(spec: Any, folder: Path, witness: Witness) -> StudioTrainer:
    """A trainer over six rows, with dropout, whose witness probes."""
    part = build_part(spec, World())
    arguments = build_arguments(spec, scratch=folder, device="cpu", share=part.share)
    trainer = StudioTrainer(
        model=build_model(dropout=0.1), args=arguments, train_dataset=ROWS,
        data_collator=Collator(PadJoin(0)), callbacks=[witness], checkpoints=folder, keep_checkpoints=1,
        monitor=Monitor(Channel(speaks=False)), need=Layout([len(row["input_ids"]) for row in ROWS]).need,
        part=part,
    )  # fmt: skip
    witness.trainer = trainer
    return trainer


def same(a: Any, b: Any) -> bool:
    """Equality to the bit, through lists and arrays."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, numpy.ndarray):
        return numpy.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("optimizer", ["adamw_torch", "adamw_torch_fused"])
def test_a_probe_leaves_no_trace(make_spec: Callable[..., Any], tmp_path: Path, optimizer: str) -> None:
    """Weights, gradients, optimizer, schedule, random states and token counts are to the bit what they were; the numbers are real."""
    spec = make_spec(batch_size=3, optimizer=optimizer, warmup_ratio=0.0, learning_rate=0.1)
    witness = Witness([ROWS[3], ROWS[1], ROWS[2]])
    build_trainer(spec, tmp_path, witness).train()

    assert [same(a, b) for a, b in zip(witness.before, witness.after, strict=True)] == [True] * 8
    assert witness.found is not None
    assert witness.found.tokens == 3 * 30
    assert witness.found.step_s > 0
    assert witness.found.evaluation_s > 0
    assert witness.found.allocated_bytes is None
    assert (witness.found.resident_bytes or 0) > 50e6


def test_memory_that_runs_out_is_a_failure_of_the_probe(make_spec: Callable[..., Any], tmp_path: Path) -> None:
    """What the allocator refuses comes out as typed, names the probe, and still nothing was changed."""
    witness = Witness([ROWS[3], ROWS[1]])
    trainer = build_trainer(make_spec(), tmp_path, witness)
    refuse = trainer.model.get_base_model().lm_head.register_forward_hook(lambda *_: torch.empty(1 << 60))
    with pytest.raises(TrainingStopped, match="The probe before the run went out of memory") as caught:
        trainer.train()
    refuse.remove()
    assert caught.value.code == "out_of_memory"
    assert [same(a, b) for a, b in zip(witness.before, witness.after, strict=True)] == [True] * 8
