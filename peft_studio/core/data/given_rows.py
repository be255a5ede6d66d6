"""Rows given in Python, written once to a file named after their content, so that a run's process can find them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from peft_studio.core.errors import DataError


def save_rows(rows: Iterable[Any], folder: Path) -> Path:
    """Write ``rows`` to ``<folder>/<first 16 digits of their SHA-256>.jsonl`` and return that path.

    The same rows give the same file, which is written only once. Rows are written as they come, so a generator of any
    length will do. A plain string is a row with that ``text``.

    Raises:
        DataError: There are no rows, or one is no dict or has a value that JSON cannot hold; names the row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".rows-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            for number, row in enumerate(rows):
                line = _line(number, row)
                digest.update(line)
                stream.write(line)
            if not stream.tell():
                raise DataError("There are no rows.", hint="Give at least one row.")
            stream.flush()
            os.fsync(stream.fileno())
        path = folder / f"{digest.hexdigest()[:16]}.jsonl"
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def frame_rows(frame: Any) -> Iterable[dict[str, Any]]:
    """The rows of a pandas frame as dicts; a missing value (NaN, NaT, None) is None."""
    names = [str(name) for name in frame.columns]
    for values in frame.itertuples(index=False, name=None):
        yield dict(zip(names, map(_none_if_missing, values), strict=True))


def _none_if_missing(value: Any) -> Any:
    # NaN and NaT are the values that differ from themselves; pandas.NA does not say, so it is asked by name.
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    return value


def _line(number: int, row: Any) -> bytes:
    if isinstance(row, str):
        row = {"text": row}
    if not isinstance(row, Mapping):
        raise DataError(f"Row {number} is {type(row).__name__}, not a dict.", hint="Give a list of dicts, one a row.")
    try:
        return (json.dumps(row, ensure_ascii=True, default=_plain) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise DataError(
            f"Row {number} cannot be written as JSON: {exc}.", hint="Use text, numbers, lists and dicts."
        ) from exc


def _plain(value: Any) -> Any:
    """JSON for what frames and datasets hold: arrays, numpy scalars, mappings, dates."""
    if isinstance(value, Mapping):
        return dict(value)
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"a value of type {type(value).__name__}")
