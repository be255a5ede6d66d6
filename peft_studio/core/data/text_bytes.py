"""Bytes to text, with exact places for what is not UTF-8.

Owns the advice on encodings. Knows nothing of what the text means.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from peft_studio.core.data.raw_row import MOST_ROW_BYTES
from peft_studio.core.errors import DataError

_BOM = b"\xef\xbb\xbf"
_SAVE_AS_UTF8 = (
    "Save it as UTF-8: in an editor through 'Save with encoding', in Excel as 'CSV UTF-8', or in Python: "
    "Path('new').write_text(Path({name!r}).read_text(encoding={encoding!r}), encoding='utf-8')."
)


class Line(NamedTuple):
    """One line with its number (from 1). ``broken`` says why ``text`` is not to be trusted."""

    number: int
    text: str
    broken: str = ""


def check_is_utf8_text(path: Path, name: str) -> None:
    """Refuse at once what is visibly another encoding, or no text at all.

    Raises:
        DataError: The file is empty, UTF-16, UTF-32, compressed or binary; the hint says how to make it readable.
    """
    with path.open("rb") as stream:
        start = stream.read(4096)
    if not start.strip():
        raise DataError(
            f"{name} is empty.", hint="Check that the file was written to its end, and that this is the right one."
        )
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-32" if start[:4] in (b"\xff\xfe\0\0",) else "utf-16"
        raise DataError(
            f"{name} is {encoding.upper()} text (byte-order mark at byte 0), not UTF-8.",
            hint=_SAVE_AS_UTF8.format(name=name, encoding=encoding),
        )
    if start[:2] == b"\x1f\x8b" or start[:4] in (b"PK\x03\x04", b"\x28\xb5\x2f\xfd"):
        raise DataError(f"{name} is compressed.", hint="Unpack it first and name the file inside.")
    if b"\0" in start:
        at = start.index(b"\0")
        encoding = "utf-16-le" if at % 2 else "utf-16-be"
        raise DataError(
            f"{name} has a NUL byte at byte {at}: it is binary, or UTF-16 without a byte-order mark.",
            hint=_SAVE_AS_UTF8.format(name=name, encoding=encoding),
        )


def read_lines(path: Path, *, most_bytes: int = MOST_ROW_BYTES) -> Iterator[Line]:
    """The lines of a UTF-8 file, ends included, one at a time.

    A line that is not UTF-8, or longer than ``most_bytes``, comes with ``broken`` set and the offending bytes replaced.
    """
    offset = number = 0
    with path.open("rb") as stream:
        while line := stream.readline(most_bytes + 1):
            number += 1
            size = len(line)
            if not number - 1 and line.startswith(_BOM):
                line = line[len(_BOM) :]
                offset += len(_BOM)
                size -= len(_BOM)
            if len(line) > most_bytes:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(most_bytes + 1)
                    size += len(line)
                yield Line(
                    number, "", f"the line has more than {most_bytes // 1024**2} MiB, so its row cannot be told apart"
                )
            else:
                yield _decode(line, number, offset)
            offset += size


def _decode(line: bytes, number: int, offset: int) -> Line:
    try:
        return Line(number, line.decode("utf-8"))
    except UnicodeDecodeError as exc:
        why = f"byte 0x{line[exc.start]:02x} at byte offset {offset + exc.start:,} is not UTF-8"
        return Line(number, line.decode("utf-8", errors="replace"), why)


def find_bad_bytes(path: Path, name: str) -> DataError | None:
    """The first place that is not UTF-8, as the error to raise; None when every byte is."""
    for line in read_lines(path):
        if line.broken:
            return DataError(f"{name}:{line.number}: {line.broken}.", hint=encoding_advice(name))
    return None


def encoding_advice(name: str) -> str:
    """How to turn a file of a Western single-byte encoding, the usual case, into UTF-8."""
    return _SAVE_AS_UTF8.format(name=name, encoding="cp1252")
