"""One answer of a chat, with what it cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    """An answer. ``str(reply)`` is its text.

    ``first_token_s`` runs from the question to the first token; ``tokens_per_s`` counts the tokens after it.
    ``switch_s`` is what it took to let this adapter, or the bare base, answer.
    ``memory_bytes`` is what the chat process holds (on a GPU: what it holds there). ``ended``: ``end`` (the model was
    done), ``length`` (cut at max_new_tokens) or ``stopped``. ``note`` says that memory was short and the model quantised.
    """

    text: str
    tokens: int
    prompt_tokens: int
    tokens_per_s: float
    first_token_s: float
    total_s: float
    memory_bytes: int
    adapter: str | None
    ended: str
    quantization: str | None
    note: str = ""
    switch_s: float = 0.0

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        who = "base" if self.adapter is None else f"adapter {self.adapter!r}"
        kind = f", {self.quantization}" if self.quantization else ""
        return (
            f"<Reply {self.text!r} · {who}{kind} · {self.tokens} tokens, {self.tokens_per_s:.1f}/s, "
            f"first after {self.first_token_s:.2f} s, {self.memory_bytes / 1e9:.2f} GB, {self.ended}>"
        )
