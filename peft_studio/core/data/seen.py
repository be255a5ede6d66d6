"""Finds rows that were there before, in a fixed amount of memory whatever their number.

A hash table of 64-bit words without pointers: 62 bits of a row's digest and two that say on which side of the split
it was seen. With 10 million rows the chance that any two different rows share 62 bits is about 1 in 90,000.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Literal

from peft_studio.core.data.example import Example

Seen = Literal["new", "duplicate", "leak"]
_IN_TRAIN, _IN_EVAL = 1, 2
_SIDES = _IN_TRAIN | _IN_EVAL
# 16 Mi words are 128 MiB, filled to three quarters at most.
_MOST_SLOTS = 1 << 24


class RowsSeen:
    """Remembers digests of rows. ``full`` once no more fit; rows seen later are no longer compared."""

    def __init__(self, rows: int) -> None:
        slots = 1024
        while slots < 2 * rows and slots < _MOST_SLOTS:
            slots *= 2
        self._mask = slots - 1
        self._words = array("Q", bytes(8 * slots))
        self._room = slots * 3 // 4
        self.compared = 0

    @property
    def full(self) -> bool:
        return self._room <= 0

    def see(self, digest: int, *, held_out: bool) -> Seen:
        """Remember a row. ``duplicate`` when the same side has it already, ``leak`` when the other side has."""
        if self.full:
            return "new"
        self.compared += 1
        side = _IN_EVAL if held_out else _IN_TRAIN
        key = digest & ~_SIDES or 4  # 0 means an empty slot
        slot = (digest >> 2) & self._mask
        while word := self._words[slot]:
            if word & ~_SIDES == key:
                before = word & _SIDES
                self._words[slot] = word | side
                return "duplicate" if before & side else "leak"
            slot = (slot + 1) & self._mask
        self._words[slot] = key | side
        self._room -= 1
        return "new"


def digest_of_example(example: Example) -> int:
    """64 bits of what the example teaches; where it stands does not matter."""
    if example.text is not None:
        content = example.text
    else:
        turns = (f"{m.role}\x1f{m.content}\x1f{dict(m.extra) or ''}" for m in example.messages or ())
        content = "\x1e".join((*turns, str(example.tools or "")))
    return int.from_bytes(blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
