"""The entries of a zip archive. Its directory is measured before it is read, since ``zipfile`` reads all of it at once."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from peft_studio.core.models.archive import PIECE_BYTES, Bounds, Entry, refuse

_END, _END_64, _FIND_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"  # APPNOTE.TXT 4.3.14 to 4.3.16
_UNIX = 3
_ENCRYPTED = 0x1 | 0x40


def read_zip(archive: Path, bounds: Bounds) -> Iterator[Entry]:
    """Its entries, in the order of its directory. Raises BadArchive."""
    _check_directory(archive, bounds)
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = opened.infolist()
            _check_places(archive, infos)
            for info in infos:
                _check_kind(archive, info)
                yield Entry(info.orig_filename, info.file_size, _is_folder(info), _pieces(archive, opened, info))
    except (zipfile.BadZipFile, RuntimeError, EOFError, struct.error, UnicodeError) as exc:
        raise refuse(archive, f"it is damaged ({type(exc).__name__})") from exc


def _check_directory(archive: Path, bounds: Bounds) -> None:
    """Refuse a directory that is too large to be read."""
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 66_000))  # an end record of 22 bytes and a comment of 65,535 at most
        tail = file.read()
        at = tail.rfind(_END)
        if at < 0 or len(tail) - at < 22:
            raise refuse(archive, "it has no directory")
        entries, table = struct.unpack_from("<HI", tail, at + 10)
        if tail[at - 20 : at - 16] == _FIND_64:
            (place,) = struct.unpack_from("<Q", tail, at - 12)
            file.seek(min(place, size))
            record = file.read(56)
            if record[:4] != _END_64 or len(record) < 56:
                raise refuse(archive, "its directory is damaged")
            entries, table = struct.unpack_from("<QQ", record, 32)
    if entries > bounds.files or table > bounds.table_bytes:
        raise refuse(archive, f"it has more than {bounds.files:,} entries, or a very long directory")


def _check_places(archive: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Entries that share their bytes are how small archives unpack to enormous ones."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise refuse(archive, "entries in it overlap")
        end = info.header_offset + 30 + info.compress_size


def _check_kind(archive: Path, info: zipfile.ZipInfo) -> None:
    shown = info.orig_filename[:80]
    if info.flag_bits & _ENCRYPTED:
        raise refuse(archive, f"{shown!a} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refuse(archive, f"{shown!a} is packed in a way that is not read here")
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > _is_folder(info):
        raise refuse(archive, f"{shown!a} is a link or a device")
    if _is_folder(info) and info.file_size:
        raise refuse(archive, f"{shown!a} is a folder with content")


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.orig_filename.endswith("/")


def _pieces(archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Its content. zipfile compares the name in front of it with the directory's, and the checksum at its end."""
    size = 0
    try:
        with opened.open(info) as file:
            while piece := file.read(PIECE_BYTES):
                size += len(piece)
                if size > info.file_size:
                    break
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as exc:
        raise refuse(archive, f"{info.orig_filename[:80]!a} is damaged ({type(exc).__name__})") from exc
    if size != info.file_size:
        raise refuse(archive, f"{info.orig_filename[:80]!a} has another size than its directory says")
