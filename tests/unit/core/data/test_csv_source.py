from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.data.csv_source import open_csv
from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.errors import DataError

Write = Callable[[str, str | bytes], Path]


def rows_of(path: Path) -> list[RawRow]:
    return list(open_csv(path, path.name).rows())


def test_reads_what_csv_writes(write: Write) -> None:
    """Quotes, separators, line ends in fields and a field longer than the csv module's own limit all come back."""
    wanted = [{"q": 'a "b", c', "a": "line 1\nline 2"}, {"q": "x" * 200_000, "a": ""}, {"q": "é", "a": " "}]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["q", "a"])
    writer.writeheader()
    writer.writerows(wanted)
    rows = rows_of(write("a.csv", text.getvalue()))
    assert [row.value for row in rows] == wanted
    assert [row.line for row in rows] == [2, 4, 5]


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "|")])
def test_the_separator_is_the_one_of_the_header(write: Write, name: str, separator: str) -> None:
    """Any of the usual separators is found; one that the ending does not lead to expect is said."""
    source = (
        open_csv(write(name, f"q{separator}a\n1,5{separator}2\n"), name)
        if separator != ","
        else open_csv(write(name, "q,a\n1;5,2\n"), name)
    )
    row = next(source.rows())
    assert row.value is not None
    assert list(row.value) == ["q", "a"]
    assert bool(source.notes) == (separator in ";|")


def test_ragged_rows_are_broken_by_name(write: Write) -> None:
    """Too few and too many fields are named with their lines; no row is padded, cut or dropped."""
    rows = rows_of(write("a.csv", "q,a\n1,2\n1\n1,2,3\n\n4,5\n"))
    assert [row.number for row in rows] == [0, 1, 2, 3]
    assert [row.value for row in rows] == [{"q": "1", "a": "2"}, None, None, {"q": "4", "a": "5"}]
    assert rows[1].place == "a.csv:3"
    assert "1 fields where the header has 2" in rows[1].broken
    assert rows[2].place == "a.csv:4"
    assert "3 fields where the header has 2" in rows[2].broken


def test_a_stray_quote_is_not_read_as_something(write: Write) -> None:
    """Text after a closing quote breaks its row; the next is read."""
    rows = rows_of(write("a.csv", 'q,a\n"he" said,2\n3,4\n'))
    assert rows[0].value is None
    assert "not valid CSV" in rows[0].broken
    assert rows[1].value == {"q": "3", "a": "4"}


def test_a_quote_that_never_closes_stops_with_its_line(write: Write) -> None:
    """It swallows every row to the end, so going on would drop them in silence."""
    with pytest.raises(DataError, match=r"a.csv:3: a quote opened in this row is never closed, so the 2 lines"):
        rows_of(write("a.csv", 'q,a\n1,2\n"3,4\n5,6\n7,8\n'))


def test_a_quote_closed_lines_later_is_pointed_at(write: Write) -> None:
    """A row that runs over several lines and then does not fit says from where to where."""
    rows = rows_of(write("a.csv", 'q,a\n"1,2\n3,4\n5",6,7\n'))
    assert "spans lines 2 to 4" in rows[0].broken


def test_wrong_encoding_names_line_and_byte(write: Write) -> None:
    """The row is broken and says which byte of the file is at fault; its neighbours are read."""
    rows = rows_of(write("a.csv", "q,a\n1,ok\n2,caf\u00e9\n3,ok\n".encode("latin-1")))
    assert [row.value is None for row in rows] == [False, True, False]
    assert rows[1].broken == "line 3: byte 0xe9 at byte offset 14 is not UTF-8"


@pytest.mark.parametrize(("header", "why"), [("q,q", "the column 'q' twice"), ("q,,a", "no name for column 2")])
def test_a_header_must_name_every_column_once(write: Write, header: str, why: str) -> None:
    """Two columns of one name would silently become one."""
    with pytest.raises(DataError, match=why):
        rows_of(write("a.csv", f"{header}\n1,2\n"))
