"""A conversation as the Chat panel keeps it: prompts, an answer of each one asked, and the text as it grows.

Written by the thread that asks, read by the one that shows; every field is replaced whole, so a reader needs no lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from peft_studio.core.chat import Reply
from peft_studio.core.errors import StudioError
from peft_studio.widgets._text import plain

TURNS = 20  # kept in the panel; older ones are forgotten
SHOWN = 8000  # characters of a prompt or an answer that reach the page

Prompt = str | list[dict[str, str]]


@dataclass(slots=True, eq=False)
class Answer:
    """One answer. ``name`` is the adapter's name in the chat, None the bare base; ``slot`` is where it stands in the panel,
    ``key`` whose adapter it is.

    ``state``: waiting, attaching, answering, done, stopped or failed.
    """

    number: int
    slot: int
    key: str
    name: str | None
    title: str
    sent: Prompt
    state: str = "waiting"
    text: str = ""
    reply: Reply | None = None
    problem: StudioError | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("done", "stopped", "failed")


@dataclass(slots=True, eq=False)
class Turn:
    """One prompt and its answers. ``problem`` is why nobody could be asked."""

    number: int
    prompt: str
    model: str
    options: dict[str, Any]
    answers: list[Answer] = field(default_factory=list)
    problem: StudioError | None = None

    def end(self, problem: StudioError | None = None) -> None:
        """Close what is still open: it was stopped, or could not be asked."""
        self.problem = self.problem or problem
        for answer in self.answers:
            if not answer.ended:
                answer.state = "failed" if problem else "stopped"


def build_prompt(turns: Iterable[Turn], prompt: str, *, model: str, key: str) -> Prompt:
    """The prompt with what this one was asked and answered before; the bare prompt when there is nothing before."""
    messages: list[dict[str, str]] = []
    for turn in turns:
        for answer in turn.answers:
            if turn.model == model and answer.key == key and answer.text and answer.state != "failed":
                messages.append({"role": "user", "content": turn.prompt})
                messages.append({"role": "assistant", "content": answer.text})
    return [*messages, {"role": "user", "content": prompt}] if messages else prompt


class TextStream:
    """What answers have grown by since it was last asked, in the page's own counting (UTF-16 units)."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[int, str]] = {}  # answer → characters it had, and what the page has of it

    def read(self, answers: Iterable[Answer], *, full: bool) -> list[list[Any]]:
        """``[answer, where to put it, text]`` for each that has changed; with ``full`` all of them."""
        known = {} if full else self._sent
        found = []
        self._sent = {}
        for answer in answers:
            text = answer.text
            length, before = known.get(answer.number, (-1, ""))
            shown = before if length == len(text) else plain(text, limit=SHOWN)
            if length != len(text) and (shown != before or length < 0):
                # Cleaning looks at the whole text: an escape sequence may have come in two pieces.
                kept = before if shown.startswith(before) else ""
                found.append([answer.number, len(kept.encode("utf-16-le")) // 2, shown[len(kept) :]])
            self._sent[answer.number] = (len(text), shown)
        return found
