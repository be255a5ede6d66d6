"""Hostile text on its way to a screen: made short, made of one kind of characters, never interpreted.

Names, log lines, prompts and answers come from data, models and other people. The browser places them as text nodes;
this module takes out what would still mislead there (escape sequences, direction overrides) and keeps one long line
from becoming a long message.
"""

from __future__ import annotations

import re

# ECMA-48 control sequences and operating system commands, as terminals read them.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# C0 and C1 controls but tab and newline, and the characters that turn the direction of what follows.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def plain(text: str, *, limit: int = 2000) -> str:
    """The text without control characters, cut to ``limit`` characters with a word on what was left out."""
    # Cut first, so that a line of many megabytes costs no more than a short one; escapes are short, so twice the
    # limit is plenty.
    head = _CONTROLS.sub("", _ANSI.sub("", text[: 2 * limit]))
    shown = head[:limit].encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is not valid on the wire
    return f"{shown}… ({len(text):,} characters)" if len(head) > limit or len(text) > 2 * limit else shown


def tail(text: str, *, limit: int) -> str:
    """The last ``limit`` characters of a text, by whole lines where there are any: for traces, whose end says most."""
    if len(text) <= limit:
        return plain(text, limit=limit)
    cut = text[-limit:]
    return "…\n" + plain(cut[cut.find("\n") + 1 :], limit=limit)
