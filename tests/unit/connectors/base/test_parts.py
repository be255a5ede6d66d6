"""Files on their way out: a stretch that can be begun anew, and digests that are git's and sha256's own."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from peft_studio.connectors.base.parts import PIECE_BYTES, Stretch, digest
from peft_studio.core.errors import Refused
from peft_studio.core.ports import UploadFile


def test_a_stretch_is_the_same_twice(tmp_path: Path) -> None:
    """In pieces, from its start, no further than its end; each piece is told of."""
    content = bytes(range(256)) * (PIECE_BYTES // 128)
    (tmp_path / "f").write_bytes(content)
    told: list[int] = []
    stretch = Stretch(tmp_path / "f", 100, PIECE_BYTES + 50, told.append)

    for _ in range(2):
        assert b"".join(stretch) == content[100 : PIECE_BYTES + 150]
    assert told == [PIECE_BYTES, 50] * 2
    assert stretch.headers["Content-Length"] == str(PIECE_BYTES + 50)


def test_the_blob_id_is_gits(tmp_path: Path) -> None:
    """As ``git hash-object`` says."""
    (tmp_path / "f").write_bytes(b"hello\n")
    file = UploadFile(path="f", source=str(tmp_path / "f"), size_bytes=6, sha256=hashlib.sha256(b"hello\n").hexdigest())
    known = subprocess.run(["git", "hash-object", str(tmp_path / "f")], capture_output=True, text=True, check=True)
    assert digest(file, "hub").blob_id == known.stdout.strip()
    assert digest(file, "hub").sample == b"hello\n"


@pytest.mark.parametrize("content", [b"hello", b"hello\n\n", b"hellp\n", None])
def test_what_changed_since_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Shorter, longer, other bytes, gone."""
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    file = UploadFile(path="f", source=str(tmp_path / "f"), size_bytes=6, sha256=hashlib.sha256(b"hello\n").hexdigest())
    with pytest.raises(Refused, match="not sent"):
        digest(file, "hub")
