"""The entries of a tar archive, plain or gzipped, read block by block: ustar, GNU long names, and pax headers that name path and size.

No link, no device, no sparse file, and no other header is known here, so none can do anything.
"""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from peft_studio.core.models.archive import PIECE_BYTES, Entry, refuse

BLOCK = 512
HEADER_BYTES = 64 * 2**10  # of a long name or of pax records
HEADERS_BYTES = 64 * 2**20  # of all that is not content
_FILES, _FOLDER, _LONG_NAME, _PAX, _PAX_FOR_ALL = (b"0", b"\0"), b"5", b"L", b"x", b"g"
_MEANINGFUL = {"path", "size"}
_HARMLESS = (
    "mtime",
    "atime",
    "ctime",
    "uid",
    "gid",
    "uname",
    "gname",
    "comment",
    "charset",
    "hdrcharset",
    "SCHILY.",
    "LIBARCHIVE.",
)
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, ValueError)


def read_tar(archive: Path, most_bytes: int) -> Iterator[Entry]:
    """Its entries as they come. ``most_bytes`` of content, and some for headers, is unpacked at most. Raises BadArchive."""
    with archive.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with contextlib.ExitStack() as stack:
                file: Any = stack.enter_context(gzip.open(raw)) if packed else raw
                yield from _Tar(archive, file, most_bytes + HEADERS_BYTES).entries()
        except _DAMAGED as exc:
            raise refuse(archive, f"it is damaged, or neither zip nor tar ({type(exc).__name__})") from exc


class _Tar:
    def __init__(self, archive: Path, file: IO[bytes], left_bytes: int) -> None:
        self._archive, self._file, self._left = archive, file, left_bytes

    def entries(self) -> Iterator[Entry]:
        name, size = "", None
        while (block := self._block()) is not None:
            kind, length = block[156:157], _number(block[124:136])
            if kind == _LONG_NAME:
                name = self._extra(length).rstrip(b"\0").decode()
            elif kind in (_PAX, _PAX_FOR_ALL):
                told = self._pax(length)
                if kind == _PAX_FOR_ALL and _MEANINGFUL & told.keys():
                    raise refuse(self._archive, "a header of it renames what follows")
                name, size = told.get("path", name), int(told["size"]) if "size" in told else size
            elif kind in (*_FILES, _FOLDER):
                yield from self._entry(name or _name(block), length if size is None else size, kind == _FOLDER)
                name, size = "", None
            else:
                raise refuse(
                    self._archive, f"{(name or _name(block))[:80]!a} is a link, a device or of another odd kind"
                )

    def _entry(self, name: str, size: int, is_folder: bool) -> Iterator[Entry]:
        """One entry, and then the way past its content, read or not."""
        if size < 0 or (is_folder and size):
            raise refuse(self._archive, f"{name[:80]!a} has no size that it can have")
        content = self._content(size)
        yield Entry(name, size, is_folder or name.endswith("/"), content)
        for _ in content:
            pass  # what was not read is passed over

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            piece = self._read(min(left, PIECE_BYTES))
            left -= len(piece)
            yield piece
        self._read(-size % BLOCK)

    def _block(self) -> bytes | None:
        """The next header; None at the end, which is a block of zeros."""
        block = self._read(BLOCK)
        if not any(block):
            return None
        told = _number(block[148:156])
        if told != sum(block) - sum(block[148:156]) + 8 * 0x20:  # POSIX ustar: the sum with its own field as spaces
            raise ValueError("checksum")
        return block

    def _extra(self, length: int) -> bytes:
        if not 0 <= length <= HEADER_BYTES:
            raise refuse(self._archive, "a header of it is too long")
        return b"".join(self._content(length))

    def _pax(self, length: int) -> dict[str, str]:
        """Records ``length key=value``, of keys that mean nothing here or that are understood."""
        rest, told = self._extra(length), {}
        while rest:
            digits = rest.partition(b" ")[0]
            record, rest = rest[: int(digits)], rest[int(digits) :]
            key, equals, value = record[len(digits) + 1 :].partition(b"=")
            if not equals or not value.endswith(b"\n") or int(digits) <= len(digits):
                raise ValueError("pax record")
            word = key.decode()
            if word not in _MEANINGFUL and not word.startswith(_HARMLESS):
                raise refuse(self._archive, f"a header of it says {word[:40]!a}, which is not understood here")
            told[word] = value[:-1].decode()
        return told

    def _read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise refuse(self._archive, "it would unpack to more than is allowed")
        try:
            content = self._file.read(size)
        except _DAMAGED as exc:
            raise refuse(self._archive, f"it is damaged ({type(exc).__name__})") from exc
        if len(content) < size:
            raise refuse(self._archive, "it is cut short, or neither zip nor tar")
        return content


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the first bit is set (GNU)."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    text = field.rstrip(b" \0").lstrip(b" ")
    return int(text, 8) if text else 0


def _name(block: bytes) -> str:
    """Name, and in ustar a prefix before it; GNU's magic has other fields in that place."""
    name = block[:100].partition(b"\0")[0].decode()
    prefix = block[345:500].partition(b"\0")[0].decode() if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name
