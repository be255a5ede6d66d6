"""Files on their way out: a stretch of one as the body of a request that can be begun anew, and a file's digests in one reading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from peft_studio.core.errors import Refused
from peft_studio.core.ports.registry import UploadFile

PIECE_BYTES = 2**20
SAMPLE_BYTES = 512


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file as a body, in constant memory. ``sent`` hears of each piece."""

    path: Path
    start: int
    size_bytes: int
    sent: Callable[[int], None] = lambda count: None

    def __iter__(self) -> Iterator[bytes]:
        left = self.size_bytes
        with self.path.open("rb") as file:
            file.seek(self.start)
            while left and (piece := file.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
                self.sent(len(piece))

    @property
    def headers(self) -> dict[str, str]:
        """What says how long it is, so that it is not sent in chunks."""
        return {"Content-Length": str(self.size_bytes), "Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Digested:
    """A file to publish, read once: ``blob_id`` is git's name for its content, ``sample`` its beginning."""

    file: UploadFile
    path: Path
    blob_id: str
    sample: bytes


def digest(file: UploadFile, platform: str) -> Digested:
    """Read a file and hold it against what was announced.

    Raises:
        Refused: It is gone, or not what was announced any more.
    """
    path = Path(file.source)
    sha256, blob, sample, size = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.size_bytes), b"", 0  # noqa: S324  git's own digest
    try:
        with path.open("rb") as source:
            while piece := source.read(PIECE_BYTES):
                sha256.update(piece)
                blob.update(piece)
                size, sample = size + len(piece), sample or piece[:SAMPLE_BYTES]
    except OSError as exc:
        raise _changed(file, "is gone", platform) from exc
    if (size, sha256.hexdigest()) != (file.size_bytes, file.sha256):
        raise _changed(file, "is not the one that was confirmed any more", platform)
    return Digested(file, path, blob.hexdigest(), sample)


def _changed(file: UploadFile, what: str, platform: str) -> Refused:
    return Refused(
        f"The file {file.path} {what}. It was not sent.",
        hint="Make the plan again: studio.push(…), and confirm what it shows.",
        platform=platform,
    )
