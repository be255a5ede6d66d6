"""Takes secrets out of text: those it was told, in every form they are likely to have taken, and what is marked as a key.

What is split between two writes is found once its line has ended. Not found is what was cut to pieces, encrypted or compressed, base64 that
is wrapped inside a key, a key of less than six signs, and a key that nobody has told it and that nothing marks as one.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import re
import shlex
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn
from urllib.parse import quote, quote_plus

from peft_studio.core.redact.secret import HIDDEN, Secret
from peft_studio.core.redact.shapes import MARKED

_SHORTEST = 6  # fewer signs stand in innocent words
_SHORTEST_ENCODED = 8
_LONGEST_LINE = 1 << 16
_LONGEST_KEY = 1 << 13

# Where what follows is a secret, whatever it looks like: a header, a variable, a query, a URL with a password; and private keys as files.
# Each begins with fixed letters and is tried alone: so the engine looks for those letters at the speed of memory.
_GAP = r"[\\\"']*\s?[:=]\s?[\\\"']*"
_VALUE = r"(?![<*{$])[^\s\\\"',;&]{8,}"
_PLACES = (
    rf"(uthorization{_GAP}(?:(?:Bearer|Basic|Token|bearer|basic|token)\s+)?){_VALUE}",
    rf"(UTHORIZATION{_GAP}(?:(?:Bearer|Basic|Token|bearer|basic|token)\s+)?){_VALUE}",
    rf"(pi-[Kk]ey{_GAP}){_VALUE}",
    rf"(PI-KEY{_GAP}){_VALUE}",
    rf"(earer\s+)(?=\S*\d){_VALUE}",
    rf"(_KEY(?<=[A-Z]_KEY){_GAP}){_VALUE}",
    rf"(_TOKEN(?<=[A-Z]_TOKEN){_GAP}){_VALUE}",
    rf"(_SECRET(?<=[A-Z]_SECRET){_GAP}){_VALUE}",
    rf"(_PASSWORD(?<=[A-Z]_PASSWORD){_GAP}){_VALUE}",
    rf"(pi_?[Kk]ey{_GAP}){_VALUE}",
    rf"(_token(?:(?<=hub_token)|(?<=auth_token)|(?<=access_token)|(?<=refresh_token)){_GAP}){_VALUE}",
    rf"([?&](?:token|key|secret)=){_VALUE}",
    r"(://[^\s/:@\"']{0,64}:)[^\s/@\"']+(?=@)",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"']*?(?:-----END [A-Z ]*PRIVATE KEY-----|(?=[\"'])|\Z)",
)
_UNTOLD = tuple(re.compile(pattern, re.ASCII) for pattern in (*_PLACES, *MARKED))


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
            hide = self._hide = self._hide or _hiding(self._secrets)
        text = hide(text)
        for pattern in _UNTOLD:
            text = pattern.sub(_keep_place, text)
        return text

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


def _keep_place(found: re.Match[str]) -> str:
    """Stars for what was found, behind the words that it was found by."""
    return (found[1] if found.re.groups else "") + HIDDEN


def _hiding(secrets: Iterable[Secret]) -> Callable[[str], str]:
    """A function that hides these. It has no frame of its own, in which a verbose traceback would show what it looks for."""
    forms = {form for secret in secrets for form in _forms_of(secret.reveal()) if len(form) >= _SHORTEST}
    if not forms:
        return str
    return functools.partial(re.compile(_one_of(forms)).sub, HIDDEN)


def _one_of(forms: Iterable[str], depth: int = 3) -> str:
    """A pattern for any of these, longest first. Sharing first letters spares the engine from trying each form at each place."""
    if not depth:
        return "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    groups = defaultdict(list)
    for form in sorted(forms):
        groups[form[0]].append(form[1:])
    return "|".join(f"{re.escape(first)}(?:{_one_of(rest, depth - 1)})" for first, rest in groups.items())


def _forms_of(value: str) -> Iterator[str]:
    """The value, and each of its longer lines, as they look when something has written them down."""
    for plain in {value, *(line for line in value.splitlines() if len(line) >= _SHORTEST_ENCODED)}:
        if len(plain) < _SHORTEST:
            continue
        data = plain.encode("utf-8", "surrogatepass")
        yield from (plain, data.decode("utf-8", "replace"))
        inside = json.dumps(plain)[1:-1]
        yield from (
            inside,
            inside.replace("/", "\\/"),
            json.dumps(plain, ensure_ascii=False)[1:-1],
            json.dumps(inside)[1:-1],
        )
        yield from (repr(plain)[1:-1], repr(data)[2:-1], html.escape(plain), shlex.quote(plain).strip("'"))
        for url in (quote(data, safe=""), quote(data), quote_plus(data)):
            yield from (url, re.sub("%..", lambda found: found[0].lower(), url))
        if len(data) >= _SHORTEST_ENCODED:
            yield from (data.hex(), data.hex().upper(), *_base64_of(data))


def _base64_of(data: bytes) -> Iterator[str]:
    """What base64 of anything with ``data`` in it must contain: three ways to lie on groups of three bytes, without the signs shared with
    neighbours, in both alphabets."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data)
        inner = whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6].decode()
        yield from (inner, inner.replace("+", "-").replace("/", "_"))
