"""A path → the source that reads it, and the digest of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from peft_studio.core.data.arrow_source import ArrowFile
from peft_studio.core.data.csv_source import open_csv
from peft_studio.core.data.folder_source import open_folder
from peft_studio.core.data.json_source import open_json
from peft_studio.core.data.raw_row import Source
from peft_studio.core.data.text_source import open_text
from peft_studio.core.errors import DataError, nearest

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".parquet", ".arrow", ".txt", ".md")


def open_path(path: Path) -> Source:
    """The source for a file or a folder.

    Raises:
        DataError: It does not exist, is of no kind that we read, or is visibly broken.
    """
    try:
        if path.is_dir():
            return open_folder(path, endings=ENDINGS, open_file=_open_file)
        if not path.exists():
            here = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
            hint = nearest(path.name, here) if here else "Check the path."
            raise DataError(f"There is no file or folder {path}.", hint=hint)
        if not path.is_file():  # a pipe or a device: reading it may never end
            raise DataError(f"{path} is neither a file nor a folder.", hint="Save what it gives to a file first.")
        return _open_file(path, path.name)
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror or exc}.", hint="Check the file's permissions.") from exc


def _open_file(path: Path, name: str) -> Source:
    ending = path.suffix.lower()
    if ending in (".json", ".jsonl", ".ndjson"):
        return open_json(path, name)
    if ending in (".csv", ".tsv", ".tab"):
        return open_csv(path, name)
    if ending in (".txt", ".md"):
        return open_text(path, name)
    if ending in (".parquet", ".arrow"):
        if not path.stat().st_size:
            raise DataError(f"{name} is empty.", hint="Write or download the file again.")
        return ArrowFile(path, name)
    raise DataError(
        f"{name} ends in {ending or 'nothing'!r}, which is no data file.", hint=f"Known endings: {', '.join(ENDINGS)}."
    )


def digest_of(source: Source) -> str:
    """SHA-256 over the bytes of every file of the source, in order; of one file, its plain digest."""
    digests = []
    for path in source.files:
        try:
            with path.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as exc:
            raise DataError(
                f"{path} cannot be read: {exc.strerror or exc}.", hint="Check the file's permissions."
            ) from exc
    if len(digests) == 1:
        return digests[0]
    names = (f"{path.name} {digest}\n" for path, digest in zip(source.files, digests, strict=True))
    return hashlib.sha256("".join(names).encode()).hexdigest()
