"""Unpacks a zip or tar archive of a stranger's: plain files and folders inside one new folder, or nothing at all.

Reads both formats' own tables and hands names, kinds and sizes to one set of rules, none of them left to ``tarfile`` or ``zipfile``:
their filters were bypassed again and again (CVE-2025-4517, CVE-2025-4330, CVE-2026-7774). What is not plainly allowed is refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from peft_studio.core.errors import StudioError
from peft_studio.core.models.safe_name import Names, UnsafeName

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
PIECE_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an archive may unpack to. Zip bombs and their like end here."""

    files: int = 10_000  # folders count, too
    file_bytes: int = 64 * 2**30
    total_bytes: int = 128 * 2**30
    expansion: int = 200  # times its own size, beyond the first
    free: int = 64 * 2**20  # so much is always allowed, however small the archive is
    table_bytes: int = 16 * 2**20  # of a zip's directory


class BadArchive(StudioError):
    """An archive that is not unpacked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder in an archive. ``pieces``: its content, which ends at ``size_bytes`` or raises BadArchive; to be read before the next."""

    name: str
    size_bytes: int
    is_folder: bool
    pieces: Iterable[bytes] = ()


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive that can be unpacked."""
    return name.lower().endswith(SUFFIXES)


def extract(archive: Path, into: Path, *, bounds: Bounds | None = None) -> list[Path]:
    """Unpack an archive into a folder that is not there yet, and return the files. The folder appears when all of it is right.

    Raises:
        BadArchive: Something in it is not allowed, or it is damaged. Nothing of it was left.
        OSError: The disk failed.
    """
    bounds = bounds or Bounds()
    if into.exists():
        raise BadArchive(f"{into} is there already.", hint="Unpack into a folder that is not there yet.")
    aside = into.with_name(f".{into.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)  # of a try that was killed
    aside.mkdir(parents=True, mode=0o700)
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, aside, ignore_errors=True)
        written = [_write(entry, aside) for entry in _judged(archive, bounds)]
        os.replace(aside, into)
    return [into / path.relative_to(aside) for path in written if path is not None]


def refuse(archive: Path, why: str) -> BadArchive:
    """The error for an archive that is not unpacked, and why."""
    return BadArchive(
        f"{archive.name} was not unpacked: {why}.",
        hint="An archive of a model holds plain files. Get it from somewhere else, or unpack it yourself where nothing can be lost.",
    )


def _judged(archive: Path, bounds: Bounds) -> Iterator[Entry]:
    """Its entries, each looked at before any of it is written."""
    from peft_studio.core.models.tar_entries import read_tar
    from peft_studio.core.models.zip_entries import read_zip

    size = archive.stat().st_size
    most = min(bounds.total_bytes, max(bounds.free, size * bounds.expansion))
    with archive.open("rb") as file:
        is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")
    names, total = Names(), 0
    for count, entry in enumerate(read_zip(archive, bounds) if is_zip else read_tar(archive, most)):
        total += entry.size_bytes
        if count >= bounds.files:
            raise refuse(archive, f"it has more than {bounds.files:,} entries")
        if entry.size_bytes > bounds.file_bytes or total > most:
            raise refuse(archive, f"it would unpack to more than {most / 1e6:,.0f} MB")
        try:
            names.add(entry.name, is_folder=entry.is_folder)
        except UnsafeName as exc:
            raise refuse(archive, f"of the name {entry.name[:80]!a} {exc}") from exc
        yield entry


def _write(entry: Entry, folder: Path) -> Path | None:
    """Put an entry where its name says, which was judged; returns the path of a file."""
    path = folder.joinpath(*entry.name.rstrip("/").split("/"))
    if entry.is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:  # "x" follows no link and replaces nothing
        for piece in entry.pieces:
            file.write(piece)
    return path
