"""Hides what nobody told, but what marks as a key: its own shape, or the place where it stands.

Each pattern has a word that must be in the text, in small letters, for it to be there at all. Only those whose word is there are tried.
"""

from __future__ import annotations

import re

from peft_studio.core.redact.secret import HIDDEN
from peft_studio.core.redact.shapes import MARKED

# Where what follows is a secret, whatever it looks like: a header, a variable, a query, a URL with a password; and private keys as files.
# Each begins with fixed letters and is tried alone: so the engine looks for those letters at the speed of memory.
_GAP = r"[\\\"']*\s?[:=]\s?[\\\"']*"
_VALUE = r"(?![<*{$])[^\s\\\"',;&]{8,}"
_PLACES = (
    (b"uthorization", rf"(uthorization{_GAP}(?:(?:Bearer|Basic|Token|bearer|basic|token)\s+)?){_VALUE}"),
    (b"uthorization", rf"(UTHORIZATION{_GAP}(?:(?:Bearer|Basic|Token|bearer|basic|token)\s+)?){_VALUE}"),
    (b"_key", rf"(pi-[Kk]ey{_GAP}){_VALUE}"),
    (b"_key", rf"(PI-KEY{_GAP}){_VALUE}"),
    (b"earer", rf"(earer\s+)(?=\S*\d){_VALUE}"),
    (b"_key", rf"(_KEY(?<=[A-Z]_KEY){_GAP}){_VALUE}"),
    (b"_token", rf"(_TOKEN(?<=[A-Z]_TOKEN){_GAP}){_VALUE}"),
    (b"_secret", rf"(_SECRET(?<=[A-Z]_SECRET){_GAP}){_VALUE}"),
    (b"_password", rf"(_PASSWORD(?<=[A-Z]_PASSWORD){_GAP}){_VALUE}"),
    (b"_key", rf"(pi_[Kk]ey{_GAP}){_VALUE}"),
    (b"pikey", rf"(pi[Kk]ey{_GAP}){_VALUE}"),
    (
        b"_token",
        rf"(_token(?:(?<=hub_token)|(?<=auth_token)|(?<=access_token)|(?<=refresh_token)){_GAP}){_VALUE}",
    ),
    *((sign.encode(), rf"({re.escape(sign)}(?:token|key|secret)=){_VALUE}") for sign in "?&"),
    (b"@", r"(://[^\s/:@\"']{0,64}:)[^\s/@\"']+(?=@)"),
    (
        b"private key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"']*?(?:-----END [A-Z ]*PRIVATE KEY-----|(?=[\"'])|\Z)",
    ),
)
_FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-", b"abcdefghijklmnopqrstuvwxyz_")

# A key with a mark is part of a word at least this long, which few words in a log are. Not one in three parts with dots between.
_LONG = b"w" * 16
_WORDS = bytes(119 if (chr(byte).isalnum() and byte < 128) or byte in b"_-" else 32 for byte in range(256))
_DOTTED = "eyJ"  # begins each of the first two


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _beginnings(pattern: str) -> tuple[bytes, ...]:
    """The fixed signs that a pattern begins with, or each of those that it offers."""
    offered = re.match(r"\(\?:([A-Za-z0-9_|-]+)\)", pattern)
    fixed = offered[1].split("|") if offered else re.findall(r"^[A-Za-z0-9_-]*", pattern)
    return tuple(signs.encode() for signs in fixed)


_BY_WORD = tuple(
    [(word, _compiled(pattern)) for word, pattern in _PLACES]
    + [(f".{_DOTTED}".lower().encode(), _compiled(shape)) for shape in MARKED if shape.startswith(_DOTTED)]
)
_BY_MARK = tuple((_beginnings(shape), _compiled(shape)) for shape in MARKED if not shape.startswith(_DOTTED))
_ALL_WORDS = frozenset(word for word, _ in _BY_WORD)
_KEYS = frozenset(word for word in _ALL_WORDS if word.endswith(b"key") and word != b"private key")
_OTHERS = _ALL_WORDS - _KEYS


def hide_marked(text: str) -> str:
    """The text without what is marked as a key."""
    data = text.encode("utf-8", "surrogatepass")
    folded = data.translate(_FOLDED)
    here = {word for word in _OTHERS if word in folded}
    if b"key" in folded:
        here |= {word for word in _KEYS if word in folded}
    due = [pattern for word, pattern in _BY_WORD if word in here]
    if long_words := _long_words(data):
        due += [pattern for marks, pattern in _BY_MARK if any(mark in long_words for mark in marks)]
    for pattern in due:
        text = pattern.sub(_keep_place, text)
    return text


def _long_words(data: bytes) -> bytes:
    """The words of a text that are long enough for a key, in a row."""
    signs = data.translate(_WORDS)
    first = signs.find(_LONG)
    if first < 0:
        return b""
    found, size = [], len(data)
    while first >= 0:
        end = signs.find(b" ", first + len(_LONG))
        end = size if end < 0 else end
        found.append(data[first:end])
        first = signs.find(_LONG, end)
    return b" ".join(found)


def _keep_place(found: re.Match[str]) -> str:
    """Stars for what was found, behind the words that it was found by."""
    return (found[1] if found.re.groups else "") + HIDDEN
