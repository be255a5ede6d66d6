"""The path inside a real Trainer: same curve as the padded loop, exact resume, and a model that still answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from peft_studio.runner.trainer import fast
from peft_studio.runner.trainer.fast.equality import _pad
from tests.unit.runner.trainer.fast.tiny_models import build_model, build_rows

ROWS = build_rows(tuple(5 + (7 * n) % 30 for n in range(22)), prefix=3)


def train(
    folder: Path, *, collator: Any, dropout: float = 0.0, resume: bool = False, steps: int = 6, **more: Any
) -> Trainer:
    """Train a fresh tiny model for some steps over shuffled rows, with accumulation that does not fit the epoch."""
    model = build_model(dropout=dropout)
    if not isinstance(collator, type(_pad)):
        fast.install(model)
    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=steps,
        learning_rate=1e-2,
        logging_steps=1,
        save_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
        **more,
    )
    trainer = Trainer(model, arguments, data_collator=collator, train_dataset=ROWS, eval_dataset=ROWS[:5])
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-4") if resume else None)
    return trainer


def losses(trainer: Trainer) -> list[float]:
    """The logged losses."""
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The trained parameters."""
    return {name: parameter.detach() for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("share", [False, True])
def test_the_loss_curve_is_that_of_the_padded_loop(tmp_path: Path, share: bool) -> None:
    """Six optimizer steps with accumulation give the same losses, the same evaluation and the same adapter."""
    reference = train(tmp_path / "a", collator=_pad)
    ours = train(tmp_path / "b", collator=fast.FlatCollator(share_prefix=share))
    assert losses(ours) == pytest.approx(losses(reference), rel=1e-4)
    assert ours.evaluate()["eval_loss"] == pytest.approx(reference.evaluate()["eval_loss"], rel=1e-4)
    for name, wanted in weights(reference).items():
        torch.testing.assert_close(weights(ours)[name], wanted, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_resuming_is_exact_with_dropout_and_shuffling(tmp_path: Path, checkpointing: bool) -> None:
    """A run that goes on from checkpoint 4 ends byte-identical to the one that was never interrupted."""
    more = {"gradient_checkpointing": checkpointing}
    whole = train(tmp_path, collator=fast.FlatCollator(), dropout=0.1, **more)
    resumed = train(tmp_path, collator=fast.FlatCollator(), dropout=0.1, resume=True, **more)
    assert losses(resumed)[-2:] == losses(whole)[-2:]
    assert all(torch.equal(weights(whole)[name], value) for name, value in weights(resumed).items())


def test_generation_and_plain_forward_go_on_with_the_path_installed() -> None:
    """Samples drawn while training come from the same model: logits and generated tokens do not change."""
    model = build_model().eval()
    ids = torch.tensor([build_rows((9,))[0]["input_ids"]])
    logits, text = model(input_ids=ids).logits, model.generate(input_ids=ids, max_new_tokens=8, do_sample=False)
    path = fast.install(model)
    torch.testing.assert_close(model(input_ids=ids).logits, logits, rtol=1e-4, atol=1e-5)
    assert torch.equal(model.generate(input_ids=ids, max_new_tokens=8, do_sample=False), text)
    path.uninstall()
    assert torch.equal(model(input_ids=ids).logits, logits)


def test_disabling_the_adapter_is_respected() -> None:
    """``disable_adapter`` shows the bare base through the fast path too."""
    model = build_model()
    path, batch = fast.install(model), fast.FlatCollator()(build_rows())
    tuned = path.loss(batch).item()
    with model.disable_adapter():
        bare = path.loss(batch).item()
    path.uninstall()
    with model.disable_adapter():
        reference = model(**_pad(build_rows()), use_cache=False).loss.item()
    assert bare == pytest.approx(reference, rel=1e-5)
    assert abs(tuned - bare) > 1e-4


def test_state_dict_is_untouched(tmp_path: Path) -> None:
    """Names and tensors that are saved do not depend on the path."""
    model = build_model()
    before = {name: id(parameter) for name, parameter in model.named_parameters()}
    fast.install(model)
    assert {name: id(parameter) for name, parameter in model.named_parameters()} == before
