"""Answering many prompts together: one pass of the weights serves them all, which on a CPU is several times faster than one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from peft_studio.runner.trainer.pieces import StopWhenSet

BATCH_ROWS = 16  # more gain little on a CPU and pad more


def answer_many(
    model: Any, tokenizer: Any, prompts: Sequence[torch.Tensor], *, max_new_tokens: int, stop: threading.Event
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Greedy answers to prompts given as token ids (1, T each): pairs of the prompt's number and its answer, as they come.

    Prompts of like length go together, padded on the left, so the order is not the given one. Sums are taken in another order
    than for a prompt alone, so an answer can differ from that of ``ask`` where two tokens are as good as equally likely.
    """
    order = sorted(range(len(prompts)), key=lambda number: prompts[number].shape[1])
    for start in range(0, len(order), BATCH_ROWS):
        numbers = order[start : start + BATCH_ROWS]
        if stop.is_set():
            return
        began = time.perf_counter()
        out, width = _generate(model, tokenizer, [prompts[number] for number in numbers], max_new_tokens, stop)
        took = time.perf_counter() - began
        for row, number in enumerate(numbers):
            tokens = _until_end(out[row, width:].tolist(), tokenizer)
            text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            yield (
                number,
                {"text": text, "tokens": len(tokens), "prompt_tokens": prompts[number].shape[1], "batch_s": took},
            )


def _generate(
    model: Any, tokenizer: Any, prompts: Sequence[torch.Tensor], max_new_tokens: int, stop: threading.Event
) -> tuple[torch.Tensor, int]:
    width = max(prompt.shape[1] for prompt in prompts)
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = torch.full((len(prompts), width), filler, device=prompts[0].device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - prompt.shape[1] :] = prompt[0]
        mask[row, width - prompt.shape[1] :] = 1
    out: torch.Tensor = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, pad_token_id=filler,
        do_sample=False, temperature=None, top_p=None, top_k=None, stopping_criteria=[StopWhenSet(stop)],
    )  # fmt: skip
    return out, width


def _until_end(tokens: list[int], tokenizer: Any) -> list[int]:
    """The tokens up to and with the model's own end; what follows is padding."""
    return tokens[: tokens.index(tokenizer.eos_token_id) + 1] if tokenizer.eos_token_id in tokens else tokens
