from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.data.text_source import open_text

Write = Callable[[str, str | bytes], Path]


def test_paragraphs_where_there_are_empty_lines(write: Write) -> None:
    """A file with empty lines is one row a paragraph, line ends inside kept, and says so."""
    source = open_text(write("a.txt", "\n\none\ntwo\n\n \nthree\n\n"), "a.txt")
    assert [(row.number, row.line, row.value) for row in source.rows()] == [
        (0, 3, {"text": "one\ntwo"}),
        (1, 7, {"text": "three"}),
    ]
    assert "paragraph" in source.notes[0]


@pytest.mark.parametrize("text", ["one\ntwo\n", "one\ntwo", "\none\ntwo\n\n", "one\r\ntwo\r\n"])
def test_lines_where_there_are_none(write: Write, text: str) -> None:
    """A file without empty lines inside is one row a line, and says so."""
    source = open_text(write("a.txt", text), "a.txt")
    assert [row.value for row in source.rows()] == [{"text": "one"}, {"text": "two"}]
    assert "line" in source.notes[0]


@pytest.mark.parametrize("between", [b"\n", b"\n\n"])
def test_a_bad_byte_breaks_its_row_only(write: Write, between: bytes) -> None:
    """Both ways of cutting keep the rows around a broken one."""
    rows = list(open_text(write("a.txt", between.join([b"one", b"tw\xff", b"three"])), "a.txt").rows())
    assert [row.value for row in rows] == [{"text": "one"}, None, {"text": "three"}]
    assert "byte 0xff" in rows[1].broken
