"""Goes through two training steps with tensors that have shapes and no content, and counts what would be alive.

The modules, the adapter, the fast path and the loss are those that will train, so whatever a method or an architecture keeps for its
backward pass is counted, and the operation at the peak has a name. No weight is read and no product is computed.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoConfig, AutoModelForCausalLM

from peft_studio.core.spec import RunSpec
from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.fast import FlatCollator
from peft_studio.runner.trainer.live_bytes import LiveBytes
from peft_studio.runner.trainer.load import DTYPES
from peft_studio.runner.trainer.methods import attach_adapter
from peft_studio.runner.trainer.rows import PadJoin

_STEPS = 2  # the optimizer's state is there from the second on


@dataclass(frozen=True)
class DryRun:
    """Bytes of live tensors: before the first step, and the most there were, in operation ``peak_at``."""

    static_bytes: int
    peak_bytes: int
    peak_at: str
    loop: str


def dry_run(spec: RunSpec, model_folder: Path, *, row_tokens: int | None = None) -> DryRun:
    """Count a micro-batch of ``batch_size`` rows of ``row_tokens`` tokens (``max_length`` unless given), all of them trained."""
    model = attach_adapter(_build_base(model_folder, spec), spec, scratch=Path())
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    with fakes:
        _fill_with_fakes(model)
    flat = spec.loop != "reference" and fast.unsupported(model, spec) is None
    batch = _build_batch(spec, row_tokens or spec.max_length, vocabulary=model.config.vocab_size, flat=flat)
    with fakes:
        model.train()
        if spec.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if flat:
            fast.install(model)
        with LiveBytes([*model.parameters(), *model.buffers()]) as count:
            static = count.now
            _step_through(model, batch, spec)
    return DryRun(static, count.peak, count.peak_at, "fast" if flat else "reference")


def _build_base(folder: Path, spec: RunSpec) -> Any:
    """The base model on torch's meta device."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[spec.precision])
    model.config.use_cache = False
    return model


def _fill_with_fakes(model: nn.Module) -> None:
    """Exchange meta tensors for fake ones, which have a device; tied ones stay one. Neither library can build a model from fakes."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, old in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(old) not in made:
                new = torch.empty(old.shape, dtype=old.dtype)
                made[id(old)] = nn.Parameter(new, requires_grad=old.requires_grad)
            module._parameters[name] = made[id(old)]
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _build_batch(spec: RunSpec, row_tokens: int, *, vocabulary: int, flat: bool) -> dict[str, Any]:
    """Real token numbers: how rows lie in the batch is read from them."""
    rows = []
    for number in range(spec.batch_size):
        # Every second row a token shorter: rows of one length would need no mask, and rows of a run seldom are.
        tokens = [(number + at) % vocabulary for at in range(row_tokens - number % 2)]
        rows.append({"input_ids": tokens, "labels": tokens})
    if not flat:
        return PadJoin(0)(rows)
    # What the fast path reads as numbers must not be tensors here: a fake one has none.
    lengths = array("q", [len(row["input_ids"]) for row in rows])
    return {**FlatCollator()(rows), "segment_lengths": lengths, "shared_prefix": 0}


def _step_through(model: Any, batch: dict[str, Any], spec: RunSpec) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=spec.learning_rate, foreach=True)
    mixed = torch.autocast("cpu", dtype=DTYPES[spec.precision], enabled=spec.precision != "fp32")
    for _ in range(_STEPS):
        with mixed:
            output = model(**batch, use_cache=False)
        output.loss.backward()
        del output  # as in Trainer, the graph is gone before the optimizer works
        torch.nn.utils.clip_grad_norm_(trained, spec.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
