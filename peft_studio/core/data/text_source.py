"""Rows of plain text files: a document each, under the column ``text``.

A file with empty lines is cut at them, one row a paragraph; a file without any is one row a line. Which of the two is
said in the source's notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.data.text_bytes import check_is_utf8_text, read_lines

# Enough to tell prose with paragraphs from a list of sentences, read at every opening so that the answer is the same.
_SNIFF_LINES = 10_000


def open_text(path: Path, name: str) -> TextFile:
    """The reader of a text file.

    Raises:
        DataError: The file is empty, or no UTF-8 text.
    """
    check_is_utf8_text(path, name)
    seen_text = blank_inside = False
    for line in read_lines(path):
        if line.number > _SNIFF_LINES:
            break
        blank = line.text.isspace()
        if not blank and seen_text and blank_inside:
            return TextFile(path, name, by_paragraph=True)
        seen_text, blank_inside = seen_text or not blank, blank_inside or (seen_text and blank)
    return TextFile(path, name, by_paragraph=False)


@dataclass(frozen=True)
class TextFile:
    """A text file, cut into rows."""

    path: Path
    name: str
    by_paragraph: bool

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    @property
    def notes(self) -> tuple[str, ...]:
        how = "paragraph (it has empty lines between them)" if self.by_paragraph else "line (it has no empty lines)"
        return (f"{self.name} is read as one row a {how}.",)

    def rows(self) -> Iterator[RawRow]:
        number, first, broken = 0, 0, ""
        block: list[str] = []
        for line in read_lines(self.path):
            if line.broken:
                broken = broken or f"line {line.number}: {line.broken}"
            if line.text and not line.text.isspace():
                first = first or line.number
                block.append(line.text)
            if (block or broken) and (not self.by_paragraph or (line.text.isspace() and not line.broken)):
                yield self._row(number, block, first=first or line.number, broken=broken)
                number, first, broken, block = number + 1, 0, "", []
        if block or broken:
            yield self._row(number, block, first=first or 1, broken=broken)

    def _row(self, number: int, block: list[str], *, first: int, broken: str) -> RawRow:
        value = None if broken else {"text": "".join(block).strip("\r\n")}
        return RawRow(number, value, self.name, first, broken)
