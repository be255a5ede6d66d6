"""Text on its way to a screen."""

from __future__ import annotations

import json

import pytest

from peft_studio.widgets._text import plain, tail


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07", "link"),
        ("abc\u202egnp.exe", "abcgnp.exe"),
        ("a\x00b\x07c\x9bd", "abcd"),
        ("bell\rover", "bellover"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_plain_removes_what_a_screen_would_obey(hostile: str, shown: str) -> None:
    """Escape sequences, controls and direction overrides go; markup stays, because it is shown as text."""
    assert plain(hostile) == shown


def test_plain_cuts_long_lines_and_says_so() -> None:
    """A megabyte becomes a screenful that names the length of the whole."""
    assert plain("x" * 1_000_000, limit=10) == "xxxxxxxxxx… (1,000,000 characters)"


def test_plain_is_always_valid_utf8() -> None:
    """A lone surrogate, which json.dumps takes and the wire does not, is replaced."""
    assert json.dumps(plain("a\ud800b"), ensure_ascii=False).encode("utf-8") == b'"a?b"'


def test_tail_keeps_the_end_of_a_trace() -> None:
    """Of a trace the last lines say most, and the first one shown is whole."""
    trace = "".join(f"line {number}\n" for number in range(1000)) + "ValueError: x"

    shown = tail(trace, limit=100)

    assert shown.endswith("ValueError: x")
    assert shown.split("\n")[:2] == ["…", "line 992"] or shown.split("\n")[1].startswith("line ")
    assert len(shown) <= 102
