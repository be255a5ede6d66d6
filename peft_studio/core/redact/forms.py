"""How a value looks when something has written it down: as JSON, a repr, a URL, a shell's word, HTML, hexadecimal, base64."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 6  # fewer signs stand in innocent words
SHORTEST_ENCODED = 8


def forms_of(value: str) -> Iterator[str]:
    """The value, and each of its longer lines, as they look when something has written them down."""
    for plain in {value, *(line for line in value.splitlines() if len(line) >= SHORTEST_ENCODED)}:
        if len(plain) < SHORTEST:
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
        if len(data) >= SHORTEST_ENCODED:
            yield from (data.hex(), data.hex().upper(), *_base64_of(data))


def _base64_of(data: bytes) -> Iterator[str]:
    """What base64 of anything with ``data`` in it must contain: three ways to lie on groups of three bytes, without the signs shared with
    neighbours, in both alphabets."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data)
        inner = whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6].decode()
        yield from (inner, inner.replace("+", "-").replace("/", "_"))
