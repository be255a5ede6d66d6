"""What the tokens of a data set say: lengths, what is cut, what is learnt, how rows end.

Fed encoded rows one at a time; what is to be said about them is in :mod:`token_findings`.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from peft_studio.core.data.encode import PLAIN, Encoded, Encoder
from peft_studio.core.data.example import Example
from peft_studio.core.data.masks import BY_CONTENT, BY_OPENINGS, WHOLE
from peft_studio.core.errors import DataError

_BINS = 24


@dataclass(frozen=True)
class Lengths:
    """Row lengths in tokens before any cut. ``total`` and the percentiles are of the ``counted`` rows; all begin with ``shared`` tokens.
    ``sixteenths`` has the mean length of each sixteenth of them, shortest first.
    """

    counted: int
    p50: int
    p95: int
    max: int
    total: int
    histogram: tuple[tuple[int, int, int], ...]  # (from, up to and with, rows)
    shared: int = 0
    sixteenths: tuple[float, ...] = ()


class TokenChecks:
    """Collects figures and row numbers of encoded rows."""

    def __init__(self, encoder: Encoder, *, max_length: int | None, assistant_only: bool) -> None:
        self.encoder = encoder
        self.max_length = max_length
        self.assistant_only = assistant_only
        self.lengths = array("L")
        self.kept_tokens = self.learnt_tokens = self.cut_tokens = 0
        self._beginning: list[int] | None = None  # of all rows met so far
        self.masked_by: dict[str, int] = {}
        self.rows: dict[str, list[int]] = {
            code: []
            for code in (
                "cut",
                "nothing-learnt",
                "no-stop",
                "refused",
                "mask-indirect",
                "mask-whole",
                "control-tokens",
                "plain-pairs",
            )
        }
        self.refusals: list[str] = []
        marks = [token.content for token in encoder.tokenizer.get_added_tokens_decoder().values() if token.special]
        self._control = re.compile("|".join(map(re.escape, marks)) or "(?!)")

    def see(self, example: Example, encoded: Encoded) -> None:
        """Count one row and its tokens."""
        learnt = encoded.trainable.count(True)
        self.lengths.append(encoded.whole_tokens)
        self.kept_tokens += len(encoded.tokens)
        self.learnt_tokens += learnt
        self._beginning = _common(self._beginning, encoded.tokens)
        self.masked_by[encoded.masked_by] = self.masked_by.get(encoded.masked_by, 0) + 1
        if encoded.cut:
            self.rows["cut"].append(encoded.row)
            self.cut_tokens += encoded.whole_tokens - len(encoded.tokens)
        if not learnt:
            self.rows["nothing-learnt"].append(encoded.row)
        elif not encoded.cut and self._last_learnt(encoded) not in self.encoder.stop_ids:
            self.rows["no-stop"].append(encoded.row)
        if self.assistant_only and encoded.masked_by == WHOLE:
            self.rows["mask-whole"].append(encoded.row)
        elif self.assistant_only and encoded.masked_by in (BY_CONTENT, BY_OPENINGS):
            self.rows["mask-indirect"].append(encoded.row)
        if encoded.masked_by == PLAIN and example.kind == "pair":
            self.rows["plain-pairs"].append(encoded.row)
        if any(self._control.search(message.content) for message in example.messages or ()):
            self.rows["control-tokens"].append(encoded.row)

    def see_refusal(self, row: int, error: DataError) -> None:
        """Note a row that the chat template does not take."""
        self.rows["refused"].append(row)
        if error.message not in self.refusals and len(self.refusals) < 3:
            self.refusals.append(error.message)

    def _last_learnt(self, encoded: Encoded) -> int:
        """The last learnt token but for the white space that a template sets after its stop token."""
        for token, learnt in zip(reversed(encoded.tokens), reversed(encoded.trainable), strict=True):
            if learnt and (token in self.encoder.stop_ids or self.encoder.tokenizer.decode([token]).strip()):
                return token
        return -1

    def measure(self) -> Lengths | None:
        """The lengths met so far; None if no row could be encoded."""
        ordered = sorted(self.lengths)
        if not ordered:
            return None
        last = len(ordered) - 1
        return Lengths(
            len(ordered),
            ordered[last // 2],
            ordered[-(-last * 95 // 100)],
            ordered[last],
            sum(ordered),
            _histogram(ordered),
            len(self._beginning or ()) if len(ordered) > 1 else 0,
            _sixteenths(ordered),
        )


def _common(beginning: list[int] | None, tokens: Sequence[int]) -> list[int]:
    """What both begin with."""
    if beginning is None:
        return list(tokens)
    most = min(len(beginning), len(tokens))
    return beginning[: next((at for at in range(most) if beginning[at] != tokens[at]), most)]


def _sixteenths(ordered: list[int]) -> tuple[float, ...]:
    count = len(ordered)
    parts = [ordered[at * count // 16 : max(at * count // 16 + 1, (at + 1) * count // 16)] for at in range(16)]
    return tuple(round(sum(part) / len(part), 1) for part in parts)


def _histogram(ordered: list[int]) -> tuple[tuple[int, int, int], ...]:
    """Up to 24 bins of equal width from the shortest to the longest; for charts."""
    low, high = ordered[0], ordered[-1]
    width = max(1, -(-(high - low + 1) // _BINS))
    counts = [0] * (-(-(high - low + 1) // width))
    for length in ordered:
        counts[(length - low) // width] += 1
    return tuple((low + i * width, low + (i + 1) * width - 1, count) for i, count in enumerate(counts))
