from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.data.text_bytes import check_is_utf8_text, find_bad_bytes, read_lines
from peft_studio.core.errors import DataError

Write = Callable[[str, str | bytes], Path]


@pytest.mark.parametrize(
    ("content", "why", "hint"),
    [
        (b"", "is empty", "written to its end"),
        (b" \n\n", "is empty", "written to its end"),
        ("q,a".encode("utf-16"), "UTF-16", "encoding='utf-16'"),
        (b"\xfe\xff\0q\0,", "UTF-16", "encoding='utf-16'"),
        ("q,a".encode("utf-32"), "UTF-32", "encoding='utf-32'"),
        ("q,a".encode("utf-16-le"), "NUL byte at byte 1", "encoding='utf-16-le'"),
        ("q,a".encode("utf-16-be"), "NUL byte at byte 0", "encoding='utf-16-be'"),
        (gzip.compress(b"q,a", mtime=0), "compressed", "Unpack"),
    ],
)
def test_what_is_no_utf8_text_is_refused_with_the_way_out(write: Write, content: bytes, why: str, hint: str) -> None:
    """Each kind is told by name, with what to do about it."""
    with pytest.raises(DataError, match=why) as caught:
        check_is_utf8_text(write("a.csv", content), "a.csv")
    assert hint in caught.value.hint


def test_the_advice_on_utf16_works(write: Write) -> None:
    """Running the line of Python in the hint gives a file that is accepted."""
    path = write("a.csv", "q,a\né,1\n".encode("utf-16"))
    new = path.with_name("new")
    new.write_text(path.read_text(encoding="utf-16"), encoding="utf-8")
    check_is_utf8_text(new, "new")
    assert [line.text for line in read_lines(new)] == ["q,a\n", "é,1\n"]


def test_every_byte_is_accounted_for(write: Write) -> None:
    """Offsets count the byte-order mark and earlier lines; the first bad byte is found."""
    path = write("a.txt", b"\xef\xbb\xbfab\n" + "é\n".encode() + b"c\xff\n")
    assert [line.broken for line in read_lines(path)] == ["", "", "byte 0xff at byte offset 10 is not UTF-8"]
    error = find_bad_bytes(path, "a.txt")
    assert error is not None
    assert error.message.startswith("a.txt:3: byte 0xff at byte offset 10")
    assert path.read_bytes()[10] == 0xFF
    assert find_bad_bytes(write("b.txt", "fine é"), "b.txt") is None
