"""Measuring a model in the middle of training without disturbing it: no gradient, no dropout, no draw from the random state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from peft_studio.runner.trainer.dealing import build_filler
from peft_studio.runner.trainer.loop import StudioTrainer
from peft_studio.runner.trainer.rows import IGNORED, Row, TokenRows
from peft_studio.runner.trainer.world import World, sum_over_ranks

SAMPLE_TOKENS = 64


def measure_loss(
    trainer: StudioTrainer, rows: TokenRows | list[Row], *, batch_size: int, world: World | None = None
) -> float:
    """Mean cross-entropy over all learnt tokens of the rows; each token weighs the same.

    ``world``: the processes that share the micro-batches; all of them call this and get the answer. None: each measures all rows.
    """
    total, count, world = 0.0, 0.0, world or World()
    starts = range(0, len(rows), batch_size)
    with _at_rest(trainer) as model:
        for first in range(0, len(starts), world.size):
            # Whoever has none left goes through a filler: a sharded model is there only while all are at it.
            mine = starts[first + world.rank : first + world.rank + 1]
            micro = [rows[number] for start in mine for number in range(start, min(start + batch_size, len(rows)))]
            micro = micro or [build_filler(rows[0])]
            batch = trainer._prepare_inputs(trainer.data_collator(micro))
            targets = batch["shift_labels"] if "shift_labels" in batch else batch["labels"][:, 1:]
            tokens = int((targets != IGNORED).sum())
            if tokens:
                with trainer.compute_loss_context_manager():
                    total += float(model(**batch, use_cache=False).loss) * tokens
                count += tokens
            elif world.size > 1:
                model(**batch, use_cache=False)
    total, count = sum_over_ranks(total, count)
    return total / count if count else float("nan")


def answer(trainer: StudioTrainer, tokenizer: Any, prompt: str) -> str:
    """The model's greedy answer to one prompt, through the chat template where there is one."""
    with _at_rest(trainer) as model:
        if tokenizer.chat_template:
            messages = [{"role": "user", "content": prompt}]
            inputs = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        else:
            inputs = tokenizer(prompt, return_tensors="pt")
        inputs = inputs.to(model.device)
        with trainer.compute_loss_context_manager():
            out = model.generate(
                **inputs, max_new_tokens=SAMPLE_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id or 0
            )
        text: str = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text


@contextlib.contextmanager
def _at_rest(trainer: StudioTrainer) -> Iterator[Any]:
    model = trainer.accelerator.unwrap_model(trainer.model)
    was_training = model.training
    cached = model.config.use_cache
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield model
    finally:
        model.config.use_cache = cached
        model.train(was_training)
