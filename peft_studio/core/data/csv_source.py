"""Rows of CSV and TSV files. The first row names the columns; every value is text.

Knows nothing of what the columns mean. A row with another number of fields than the header is broken, never padded.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from peft_studio.core.data.raw_row import MOST_ROW_BYTES, RawRow
from peft_studio.core.data.text_bytes import Line, check_is_utf8_text, read_lines
from peft_studio.core.errors import DataError

_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}


def open_csv(path: Path, name: str) -> CsvFile:
    """The reader of a delimited text file; the separator is the one the header uses most.

    Raises:
        DataError: The file is empty, no UTF-8 text, or its header is missing a name or has one twice.
    """
    check_is_utf8_text(path, name)
    header = next(read_lines(path)).text
    usual = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    separator = max(_SEPARATORS, key=lambda mark: (header.count(mark), mark == usual))
    notes = () if separator == usual else (f"{name} separates its columns with a {_SEPARATORS[separator]}.",)
    return CsvFile(path, name, separator, notes)


class _Lines:
    """Feeds csv.reader with text while remembering which lines were not UTF-8."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self.lines = lines
        self.broken: dict[int, str] = {}

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            if line.broken:
                self.broken[line.number] = line.broken
            yield line.text

    def take_broken(self, to_line: int) -> str:
        """Why a line up to this one cannot be trusted, once; '' when all can."""
        found = [f"line {line}: {self.broken.pop(line)}" for line in sorted(self.broken) if line <= to_line]
        return found[0] if found else ""


@dataclass(frozen=True)
class CsvFile:
    """A delimited text file with a header."""

    path: Path
    name: str
    separator: str
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def rows(self) -> Iterator[RawRow]:
        csv.field_size_limit(
            max(csv.field_size_limit(), MOST_ROW_BYTES)
        )  # 128 KiB by default, shorter than a long document
        lines = _Lines(read_lines(self.path))
        # strict: without it a stray quote is read as something, silently.
        reader = csv.reader(lines, delimiter=self.separator, strict=True)
        header = self._header(reader)
        number = 0
        while True:
            first = reader.line_num + 1
            fields: list[str] | None = None
            broken = ""
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                broken = self._why(exc, first, last=reader.line_num)
            broken = lines.take_broken(reader.line_num) or broken
            if fields is not None and not fields:
                continue  # an empty line
            if fields is not None and len(fields) != len(header) and not broken:
                broken = _ragged(len(fields), len(header), first=first, last=reader.line_num)
            value = dict(zip(header, fields, strict=True)) if fields is not None and not broken else None
            yield RawRow(number, value, self.name, first, broken)
            number += 1

    def _header(self, reader: Iterator[list[str]]) -> list[str]:
        try:
            header = [name.strip() for name in next(reader)]
        except csv.Error as exc:
            raise DataError(f"{self.name}:1: the header cannot be read: {exc}.", hint="Mend the first line.") from exc
        twice = sorted({name for name in header if header.count(name) > 1})
        if "" in header or twice:
            what = (
                f"the column {twice[0]!r} twice" if twice and twice[0] else f"no name for column {header.index('') + 1}"
            )
            raise DataError(
                f"{self.name}:1: the header has {what}.", hint="Give every column a name of its own in the first line."
            )
        return header

    def _why(self, exc: csv.Error, first: int, *, last: int) -> str:
        if "unexpected end of data" in str(exc) and last > first:
            # All rows down to the end stand inside this one, and nothing tells them apart.
            raise DataError(
                f"{self.name}:{first}: a quote opened in this row is never closed, so the {last - first} lines "
                "after it cannot be read.",
                hint='Close the quote, or double it where it is part of the text ("").',
            ) from exc
        return f"not valid CSV ({exc})"


def _ragged(found: int, wanted: int, *, first: int, last: int) -> str:
    lines = f" (the row spans lines {first} to {last}: a quote may be missing)" if last > first else ""
    return f"{found} fields where the header has {wanted}{lines}; a text with the separator in it must stand in quotes"
