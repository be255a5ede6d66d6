"""Hides values that it was told, in all their forms at once, without trying each form at each place.

Text is looked at in pieces of eight bytes, every ``8 × step``-th: whatever is as long as ``8 × step + 7`` holds one of those whole, wherever
it begins. So eight bytes at each of the first ``8 × step`` places of every form, in one set, are enough to know that a text has none of them.
What is shorter is looked for by itself. ``benchmarks/redact.py`` measures it.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from peft_studio.core.redact.forms import SHORTEST, forms_of
from peft_studio.core.redact.secret import HIDDEN, Secret

PIECE = 8
STEPS = (1, 2, 3, 4)
_PIECES_NS, _SHORT_NS = 5.0, 0.6  # for a byte: looking at every piece, looking for one short form
_MANY = 40  # so many short forms are rather tried together

_Same = Callable[[bytes], object]
Span = tuple[int, int]


class Known:
    """``Known(secrets)(text)`` is the text without them. It holds forms only inside built-in methods, which print as no more than an
    address: a verbose traceback through it, or a debugger's list of its members, shows none."""

    __slots__ = ("_at_piece", "_has_none", "_short", "_step")

    def __init__(self, secrets: Iterable[Secret]) -> None:
        forms = {
            form.encode("utf-8", "surrogatepass")
            for secret in secrets
            for form in forms_of(secret.reveal())
            if len(form) >= SHORTEST
        }
        lengths = [len(form) for form in forms]
        self._step = min(STEPS, key=lambda step: _cost(lengths, step))
        pieces: defaultdict[int, list[tuple[_Same, int, int]]] = defaultdict(list)
        short = []
        for form in forms:
            if len(form) < _reach(self._step):
                short.append(form)
                continue
            for place in range(PIECE * self._step):
                piece = int.from_bytes(form[place : place + PIECE], sys.byteorder)
                pieces[piece].append((form.__eq__, place, len(form)))
        self._has_none: Callable[[Iterable[int]], bool] = frozenset(pieces).isdisjoint
        self._at_piece = dict(pieces).get
        patterns = [_one_of(short)] if len(short) > _MANY else [re.escape(form) for form in short]
        self._short = [re.compile(pattern, re.DOTALL).finditer for pattern in patterns]

    def __call__(self, text: str) -> str:
        data = str.encode(text, "utf-8", "surrogatepass")
        spans = sorted([*self._long_ones(data), *self._short_ones(data)])
        if not spans:
            return text
        kept, end = [], 0
        for first, last in _joined(spans):
            kept.append(data[end:first])
            end = last
        kept.append(data[end:])
        return HIDDEN.encode().join(kept).decode("utf-8", "surrogatepass")

    def _long_ones(self, data: bytes) -> Iterator[Span]:
        view = memoryview(data)[: len(data) // PIECE * PIECE].cast("Q")[:: self._step]
        if self._has_none(view):
            return
        for number, piece in enumerate(view):
            for same, place, length in self._at_piece(piece) or ():
                first = number * PIECE * self._step - place
                if first >= 0 and same(data[first : first + length]) is True:
                    yield first, first + length

    def _short_ones(self, data: bytes) -> Iterator[Span]:
        for find_all in self._short:
            yield from (found.span() for found in find_all(data))


def _reach(step: int) -> int:
    """How long a form has to be for a piece of every ``step`` to lie in it whole."""
    return PIECE * step + PIECE - 1


def _cost(lengths: list[int], step: int) -> float:
    return _PIECES_NS / step + _SHORT_NS * sum(length < _reach(step) for length in lengths)


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans in order, those that overlap made one."""
    first, last = -1, -1
    for begins, ends in spans:
        if begins < last:
            last = max(last, ends)
            continue
        if last >= 0:
            yield first, last
        first, last = begins, ends
    if last >= 0:
        yield first, last


def _one_of(forms: Iterable[bytes]) -> bytes:
    """A pattern for any of these, longest first."""
    return b"|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
