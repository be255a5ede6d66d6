"""Examples to tokens, with the mask of what is learnt: the one function of the trainer, the report and the preview.

Knows a tokenizer and a template; nothing of files of rows, of tensors or of padding. The shift by one that turns
tokens into labels is the trainer's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

from peft_studio.core.data.example import ASSISTANT, Example
from peft_studio.core.data.masks import WHOLE, render_with_spans
from peft_studio.core.data.template import ChatTemplate
from peft_studio.core.errors import DataError

PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as trained.

    ``tokens[i]`` is learnt where ``trainable[i]``; both have the same length, at most ``max_length``. ``cut`` says
    that tokens were lost at the end, ``whole_tokens`` how many there were before. ``masked_by`` is how the answers
    were found: ``generation-tags``, ``turns``, ``openings``, ``content``, ``whole`` (not found, so everything is
    learnt) or ``plain`` (no template).
    """

    row: int
    tokens: list[int]
    trainable: list[bool]
    cut: bool
    whole_tokens: int
    masked_by: str


class _Plan(NamedTuple):
    """Text to tokenize and the character spans to learn. ``plain`` text gets the model's BOS, and EOS at its end."""

    row: int
    text: str
    spans: tuple[tuple[int, int], ...]
    masked_by: str
    plain: bool


@dataclass(frozen=True)
class Encoder:
    """A model's tokenizer and chat template. Make one with :func:`load_encoder`.

    ``eos_id`` ends a text; ``stop_ids`` are all tokens that end a turn in generation (``eos_id`` among them).
    ``bos_id`` is set when plain text starts with it. ``context_tokens`` is the longest sequence the model accepts,
    where known.
    """

    tokenizer: Tokenizer
    name: str
    eos_id: int | None
    stop_ids: frozenset[int] = frozenset()
    bos_id: int | None = None
    template: ChatTemplate | None = None
    context_tokens: int | None = None
    stops: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        texts = (self.tokenizer.id_to_token(token) for token in sorted(self.stop_ids))
        object.__setattr__(self, "stops", tuple(text for text in texts if text))

    def encode(self, example: Example, *, max_length: int | None, assistant_only: bool = True) -> Encoded:
        """The tokens of one example, exactly as they are trained.

        Args:
            example: What to encode.
            max_length: Tokens to keep; the rest is cut at the end. None keeps all.
            assistant_only: Learn the assistant's turns (or the completion) alone, not the prompt.

        Raises:
            DataError: The chat template refuses the conversation, or turns meet a model without a template.
        """
        plan = self._plan(example, assistant_only=assistant_only)
        return self._finish(plan, self.tokenizer.encode(plan.text, add_special_tokens=False), max_length=max_length)

    def encode_batch(
        self, examples: Sequence[Example], *, max_length: int | None, assistant_only: bool = True
    ) -> list[Encoded | DataError]:
        """As :meth:`encode`, many at once and faster; a refused example comes back as its error, in its place."""
        plans: list[_Plan | DataError] = []
        for example in examples:
            try:
                plans.append(self._plan(example, assistant_only=assistant_only))
            except DataError as exc:
                plans.append(exc)
        texts = [plan.text for plan in plans if isinstance(plan, _Plan)]
        encodings = iter(self.tokenizer.encode_batch(texts, add_special_tokens=False))
        return [
            self._finish(plan, next(encodings), max_length=max_length) if isinstance(plan, _Plan) else plan
            for plan in plans
        ]

    def _plan(self, example: Example, *, assistant_only: bool) -> _Plan:
        if example.text is not None:
            return _Plan(example.row, example.text, ((0, len(example.text)),), PLAIN, True)
        if self.template is not None:
            text, spans, how = render_with_spans(self.template, example, stops=self.stops)
            return _Plan(example.row, text, spans if assistant_only else ((0, len(text)),), how, False)
        if example.kind != "pair":
            raise DataError(
                f"Row {example.row} is a conversation, and {self.name} has no chat template.",
                hint="Choose a model made for chat, or give this one a template: "
                "peft_studio.core.data.write_chatml(folder).",
            )
        messages = example.messages or ()
        answer = "".join(message.content for message in messages if message.role == ASSISTANT)
        prompt = "".join(message.content for message in messages if message.role != ASSISTANT)
        start = len(prompt) if assistant_only else 0
        return _Plan(example.row, prompt + answer, ((start, len(prompt + answer)),), PLAIN, True)

    def _finish(self, plan: _Plan, encoding: Encoding, *, max_length: int | None) -> Encoded:
        tokens = encoding.ids
        if plan.masked_by == WHOLE or plan.spans == ((0, len(plan.text)),):
            trainable = [True] * len(tokens)
        else:
            trainable = _mask(encoding.offsets, plan.spans)
        if plan.plain:
            tokens, trainable = self._with_ends(tokens, trainable)
        whole = len(tokens)
        cut = max_length is not None and whole > max_length
        return Encoded(plan.row, tokens[:max_length], trainable[:max_length], cut, whole, plan.masked_by)

    def _with_ends(self, tokens: list[int], trainable: list[bool]) -> tuple[list[int], list[bool]]:
        """Plain text as the model saw it in pretraining: BOS where it uses one, and EOS, learnt, at the end."""
        if self.bos_id is not None and tokens[:1] != [self.bos_id]:
            tokens, trainable = [self.bos_id, *tokens], [False, *trainable]
        if self.eos_id is not None and tokens[-1:] != [self.eos_id]:
            tokens, trainable = [*tokens, self.eos_id], [*trainable, True]
        return tokens, trainable


def _mask(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """True for the tokens that lie in a span, whole or in part; offsets are characters and never step back."""
    starts = [start for start, _ in offsets]
    ends = [end for _, end in offsets]
    trainable = [False] * len(offsets)
    for start, end in spans:
        first, last = bisect_left(ends, start + 1), bisect_left(starts, end)
        trainable[first:last] = [True] * (last - first)
    return trainable
