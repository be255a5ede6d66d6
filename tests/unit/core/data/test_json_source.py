from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.data import json_source
from peft_studio.core.data.json_source import JsonArray, JsonLines, open_json
from peft_studio.core.data.text_bytes import read_lines
from peft_studio.core.errors import DataError

Write = Callable[[str, str | bytes], Path]


def values(path: Path) -> list[Any]:
    return [row.value for row in open_json(path, path.name).rows()]


def test_lines_keep_their_file_and_line_numbers(write: Write) -> None:
    """Empty lines are no rows, but count as lines; a missing last line end and a byte-order mark do no harm."""
    path = write("a.jsonl", b'\xef\xbb\xbf{"text": "\xc3\xa9"}\n\n  \r\n{"text": 2}')
    rows = list(open_json(path, "a.jsonl").rows())
    assert [(row.number, row.place, row.value) for row in rows] == [
        (0, "a.jsonl:1", {"text": "é"}),
        (1, "a.jsonl:4", {"text": 2}),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"text": "half a li', "the JSON ends in the middle of a row (column 10"),
        (b'{"text": "a",', "the JSON ends in the middle of a row"),
        (b"{'text': 'a'}", "not valid JSON (column 2"),
        (b'["a", "b"]', "a row must be an object"),
        (b"42", "a row must be an object"),
        (b'{"text": "caf\xe9"}', "byte 0xe9 at byte offset 27 is not UTF-8"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer string conversion"),
    ],
)
def test_a_broken_line_costs_that_row_only(write: Write, line: bytes, why: str) -> None:
    """The rows around it are read, and it says what is wrong with it and where."""
    path = write("a.jsonl", b'{"text": "1"}\n' + line + b'\n{"text": "3"}\n')
    rows = list(open_json(path, "a.jsonl").rows())
    assert [row.value for row in rows] == [{"text": "1"}, None, {"text": "3"}]
    assert rows[1].place == "a.jsonl:2"
    assert why in rows[1].broken


def test_a_line_without_end_is_not_read_into_memory(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the limit is passed over in pieces, and the next row is found."""
    monkeypatch.setattr(json_source, "read_lines", partial(read_lines, most_bytes=100))
    path = write("a.jsonl", b'{"text": "' + b"x" * 1000 + b'"}\n{"text": "next"}\n')
    rows = list(JsonLines(path, "a.jsonl").rows())
    assert "more than" in rows[0].broken
    assert rows[1].value == {"text": "next"}


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": "]}"}]',
        '\ufeff \n[\n {"a": 1}\n,{"a": "]}"}\n]\n',
        '{"version": {"x": [1]}, "n": 3, "data": [{"a": 1}, {"a": "]}"}], "more": 1}',
    ],
)
def test_arrays_and_objects_with_an_array(write: Write, text: str) -> None:
    """An array of objects is read, on its own or under a key of an object."""
    assert values(write("a.json", text)) == [{"a": 1}, {"a": "]}"}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_an_array_reads_the_same_whatever_the_chunk(write: Write, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Where a chunk ends (in a string, an escape, a number) makes no difference."""
    monkeypatch.setattr(json_source, "_CHUNK", size)
    rows = [
        {"text": 'q"\\ é 😀 \n', "n": [1.5e-7, -12345, True, None], "deep": {"a": [{}]}},
        {"text": ""},
        {"n": 123456},
    ]
    for indent in (None, 2):
        for ascii_only in (True, False):
            path = write("a.json", json.dumps({"data": rows}, indent=indent, ensure_ascii=ascii_only))
            assert values(path) == rows


def test_array_rows_know_their_lines(write: Write) -> None:
    """A row of a JSON file is named by the line where it starts."""
    path = write("a.json", '[\n{"a": 1},\n\n{"a":\n2},\n3]')
    assert [row.line for row in open_json(path, "a.json").rows()] == [2, 4, 6]


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ('[{"a": 1},\n{"a": 2', "a.json:2", "ends in the middle of a row"),
        ('[{"a": 1},\n{"a": "2', "a.json:2", "ends in the middle of a row"),
        ('[{"a": 1}\n{"a": 2}]', "a.json:2", "expected ',' or ']'"),
        ('[{"a": 1},\n{a: 2},' + '{"a": 2},' * 20 + "]", "a.json:2", "not valid JSON"),
        ('{"a": 1, "b": {"c": []}}', "a.json:1", "without a list of rows"),
        ('"text"', "a.json:1", "expected a list of rows"),
    ],
)
def test_a_fault_in_an_array_stops_with_its_line(write: Write, text: str, where: str, why: str) -> None:
    """After a fault nothing can be told apart, so reading stops with an error that names the line and what to do."""
    with pytest.raises(DataError, match=why) as caught:
        values(write("a.json", text))
    assert where in caught.value.message
    assert caught.value.hint


def test_bytes_that_are_not_utf8_in_an_array(write: Write) -> None:
    """The error names line and byte offset, as for lines."""
    with pytest.raises(DataError, match=r"a.json:2: byte 0xe9 at byte offset 18 is not UTF-8"):
        values(write("a.json", b'[{"a": 1},\n{"a": "\xe9"}]'))


def test_what_is_in_the_file_decides_not_its_ending(write: Write) -> None:
    """Lines in a .json file and an array in a .jsonl file are both read."""
    assert values(write("a.json", '{"a": 1}\n{"a": 2}\n')) == [{"a": 1}, {"a": 2}]
    assert values(write("a.jsonl", '[{"a": 1},\n{"a": 2}]')) == [{"a": 1}, {"a": 2}]
    assert isinstance(open_json(write("b.jsonl", '{"data": [{"a": 1}]}'), "b"), JsonLines)
    assert isinstance(open_json(write("b.json", '{"data": [{"a": 1}]}'), "b"), JsonArray)
