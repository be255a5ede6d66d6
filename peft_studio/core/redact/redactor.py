"""Takes secrets out of text: those it was told, in every form they are likely to have taken, and what is marked as a key.

What is split between two writes is found once its line has ended. Not found is what was cut to pieces, encrypted or compressed, base64 that
is wrapped inside a key, a key of less than six signs, and a key that nobody has told it and that nothing marks as one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from peft_studio.core.redact.known import Known
from peft_studio.core.redact.marked import hide_marked
from peft_studio.core.redact.secret import Secret

_LONGEST_LINE = 1 << 16
_LONGEST_KEY = 1 << 13


class Redactor:
    """Replaces secrets in text by ``***``. Safe to use from several threads; it shows neither what it looks for nor how."""

    __slots__ = ("_hide", "_lock", "_secrets")

    def __init__(self) -> None:
        self._secrets: list[Secret] = []
        self._hide: Callable[[str], str] | None = None
        self._lock = threading.Lock()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A Redactor does not leave its process: it knows what it hides.")

    def add(self, secret: Secret) -> None:
        """Look for this one, too, from now on."""
        if not isinstance(secret, Secret):
            raise TypeError(f"This takes a Secret, as in Secret(getpass()), not a {type(secret).__name__}.")
        with self._lock:
            if secret not in self._secrets:
                self._secrets.append(secret)
                self._hide = None

    def text(self, text: str) -> str:
        """The text without secrets."""
        with self._lock:
            hide = self._hide = self._hide or Known(self._secrets)
        return hide_marked(hide(text))

    def stream(self) -> RedactedStream:
        """For text that comes in pieces: a child's output, a socket."""
        return RedactedStream(self)

    def lines(self, pieces: Iterable[str]) -> Iterator[str]:
        """The pieces without secrets, cut anew at the ends of lines."""
        stream = self.stream()
        for piece in pieces:
            if clean := stream.feed(piece):
                yield clean
        if clean := stream.close():
            yield clean


class RedactedStream:
    """Text in pieces, out again as whole lines without secrets. What has no end of line yet is held back until :meth:`close`.

    A line of more than 64 kB is given out in parts, none of which ends inside a secret of less than 8 kB.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take a piece; give what can be given by now, perhaps nothing."""
        held = self._held + piece
        end = max(held.rfind("\n"), held.rfind("\r")) + 1
        ready, self._held = held[:end], held[end:]
        clean = self._redactor.text(ready)
        if len(self._held) > _LONGEST_LINE:
            part, self._held = self._part_of_line(self._held)
            clean += part
        return clean

    def _part_of_line(self, held: str) -> tuple[str, str]:
        """The clean beginning of an endless line, and the rest: cut where no secret is, and far enough from the end for the last to be whole."""
        whole = self._redactor.text(held)
        for at in range(len(held) - _LONGEST_KEY, 0, -_LONGEST_KEY):
            begin = self._redactor.text(held[:at])
            if begin + self._redactor.text(held[at:]) == whole:
                return begin, held[at:]
        return whole, ""

    def close(self) -> str:
        """The rest. The stream can be used again."""
        rest, self._held = self._held, ""
        return self._redactor.text(rest) if rest else ""
