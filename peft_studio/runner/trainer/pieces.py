"""Turns tokens into text as they come, and ends an answer when asked. Knows transformers' two hooks into ``generate``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

_HALF_CHARACTER = "\ufffd"  # what a tokenizer gives for bytes that do not make a character yet


class Pieces(BaseStreamer):
    """Receives token ids from ``generate`` and hands on text. The pieces together are ``text``, to the character."""

    def __init__(self, tokenizer: Any, on_piece: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._on_piece = on_piece
        self._ids: list[int] = []
        self._ends = _list_ends(tokenizer)
        self._prompt_seen = False
        self._window = 0  # where decoding starts again: decoding all tokens anew would take quadratic time
        self._shown = 0  # tokens whose text was handed on
        self.text = ""
        self.first_at: float | None = None

    @property
    def tokens(self) -> int:
        return len(self._ids)

    @property
    def ended(self) -> bool:
        """Whether the last token was the model's own end."""
        return bool(self._ids) and self._ids[-1] in self._ends

    def measure(self, *, began: float, took_s: float) -> dict[str, float]:
        """Tokens, and how fast they came; ``began`` is the question's time on the clock of ``perf_counter``."""
        first_s = self.first_at - began if self.first_at is not None else took_s
        later = self.tokens > 1 and took_s > first_s
        rate = (self.tokens - 1) / (took_s - first_s) if later else self.tokens / took_s
        return {"tokens": self.tokens, "tokens_per_s": rate, "first_token_s": first_s, "total_s": took_s}

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:  # generate sends the prompt first
            self._prompt_seen = True
            return
        if self.first_at is None:
            self.first_at = time.perf_counter()
        self._ids.extend(value.flatten().tolist())
        self._show(whole=False)

    def end(self) -> None:
        self._show(whole=True)

    def _show(self, *, whole: bool) -> None:
        # Decoded with what came before: many tokenizers write a word's space only when it is not the first.
        before = self._decode(self._ids[self._window : self._shown])
        after = self._decode(self._ids[self._window :])
        if len(after) <= len(before) or (after.endswith(_HALF_CHARACTER) and not whole):
            return
        piece = after[len(before) :]
        self._window, self._shown = self._shown, len(self._ids)
        self.text += piece
        self._on_piece(piece)

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class StopWhenSet(StoppingCriteria):
    """Ends generation after the token in which the event was set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self._event.is_set(), dtype=torch.bool, device=input_ids.device)


def _list_ends(tokenizer: Any) -> set[int]:
    return {tokenizer.eos_token_id} - {None}
