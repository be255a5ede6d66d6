"""Rows shown as they are trained: the very tokens, with those that are learnt marked.

The tokens come from the same :class:`Encoder` that the trainer uses; nothing is rendered a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tokenizers.decoders import DecodeStream

from peft_studio.core.data.dataset import Dataset
from peft_studio.core.data.encode import Encoded, Encoder
from peft_studio.core.data.example import ASSISTANT, Example
from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of one token, or of the few that make one character, and whether it is learnt.

    ``special`` is a token of the model that is no text, ``cut`` one that ``max_length`` takes away.
    """

    text: str
    tokens: tuple[int, ...]
    learnt: bool
    special: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row: its pieces in order, or why it cannot be trained on.

    Of a long row the middle may be passed over: ``skipped`` tokens, before the piece at ``skipped_at``.
    """

    row: int
    pieces: tuple[Piece, ...]
    tokens: int
    learnt: int
    cut_tokens: int = 0
    problem: str = ""
    skipped: int = 0
    skipped_at: int = 0


@dataclass(frozen=True, repr=False)
class Preview:
    """Rows as trained. ``model`` is None when they are shown as turns, without a tokenizer."""

    rows: tuple[PreviewRow, ...]
    model: str | None

    def __repr__(self) -> str:
        from peft_studio.core.data.preview_view import preview_text

        return preview_text(self)

    def _repr_html_(self) -> str:
        from peft_studio.core.data.preview_view import preview_html

        return preview_html(self)


def build_preview(
    data: Dataset, encoder: Encoder | None, *, n: int, max_length: int | None, assistant_only: bool
) -> Preview:
    """The first ``n`` training rows; a row that cannot be trained on is shown with the reason."""
    shown = []
    for row in islice((row for row in data.raw_rows() if not row.held_out), max(0, n)):
        try:
            example = data.example(row)
            if encoder is None:
                shown.append(_turns(example))
            else:
                shown.append(
                    _tokens(encoder, encoder.encode(example, max_length=max_length, assistant_only=assistant_only))
                )
        except DataError as exc:
            shown.append(PreviewRow(row.number, (), 0, 0, problem=exc.message))
    return Preview(tuple(shown), encoder.name if encoder else None)


def preview_row(
    data: Dataset,
    raw: RawRow,
    encoder: Encoder | None,
    *,
    max_length: int | None,
    assistant_only: bool,
    most: int = 2000,
) -> PreviewRow:
    """One row as it is trained, what is cut off at its end included; of a long one the first and last tokens.

    ``tokens`` and ``learnt`` count what is kept. At most about ``most`` pieces are made.
    """
    try:
        example = data.example(raw)
        if encoder is None:
            return _turns(example)
        whole = encoder.encode(example, max_length=None, assistant_only=assistant_only)
    except DataError as exc:
        return PreviewRow(raw.number, (), 0, 0, problem=exc.message)
    total = len(whole.tokens)
    kept = total if max_length is None else min(total, max_length)
    head, tail = (total, total) if total <= most else (most * 3 // 4, total - most // 4)
    pieces = _marked(encoder, whole, slice(0, head), kept)
    return PreviewRow(
        raw.number, pieces + _marked(encoder, whole, slice(tail, total), kept),
        tokens=kept, learnt=whole.trainable[:kept].count(True), cut_tokens=total - kept,
        skipped=tail - head, skipped_at=len(pieces),
    )  # fmt: skip


def _marked(encoder: Encoder, whole: Encoded, part: slice, kept: int) -> tuple[Piece, ...]:
    """The pieces of a part of a row, with special tokens and those past ``kept`` marked."""
    special = {number for number, token in encoder.tokenizer.get_added_tokens_decoder().items() if token.special}
    at, pieces = part.start, []
    for piece in decode_pieces(encoder, whole.tokens[part], whole.trainable[part]):
        at += len(piece.tokens)
        cut = at > kept
        pieces.append(
            replace(piece, special=not special.isdisjoint(piece.tokens), cut=cut, learnt=piece.learnt and not cut)
        )
    return tuple(pieces)


def decode_pieces(encoder: Encoder, tokens: Sequence[int], learnt: Sequence[bool]) -> tuple[Piece, ...]:
    """Tokens with their texts. Tokens that are parts of one character share a piece, learnt if its last token is."""
    stream = DecodeStream(skip_special_tokens=False)
    pieces, waiting = [], []
    for token, is_learnt in zip(tokens, learnt, strict=True):
        waiting.append(token)
        text = stream.step(encoder.tokenizer, token)
        if text is not None:
            pieces.append(Piece(text, tuple(waiting), is_learnt))
            waiting = []
    if waiting:  # the cut fell inside a character
        pieces.append(
            Piece(encoder.tokenizer.decode(waiting, skip_special_tokens=False), tuple(waiting), bool(learnt[-1]))
        )
    return tuple(pieces)


def _tokens(encoder: Encoder, encoded: Encoded) -> PreviewRow:
    pieces = decode_pieces(encoder, encoded.tokens, encoded.trainable)
    lost = encoded.whole_tokens - len(encoded.tokens)
    return PreviewRow(encoded.row, pieces, len(encoded.tokens), encoded.trainable.count(True), lost)


def _turns(example: Example) -> PreviewRow:
    if example.text is not None:
        return PreviewRow(example.row, (Piece(example.text, (), True),), 0, 0)
    pieces = []
    for message in example.messages or ():
        calls = f" {message.extra['tool_calls']}" if message.extra.get("tool_calls") else ""
        pieces += [Piece(f"{message.role}: ", (), False), Piece(message.content + calls, (), message.role == ASSISTANT)]
        pieces.append(Piece("\n", (), False))
    return PreviewRow(example.row, tuple(pieces), 0, 0)
