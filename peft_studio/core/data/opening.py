"""The two ways to a data set: :func:`open_data` from what a user names, :func:`open_ref` from what a run spec keeps."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from peft_studio.core.data.dataset import Dataset, FindModel
from peft_studio.core.data.findings import Finding
from peft_studio.core.data.folder_source import FolderSource
from peft_studio.core.data.formats import Recognised
from peft_studio.core.data.given_rows import frame_rows, save_rows
from peft_studio.core.data.open_source import digest_of, open_path
from peft_studio.core.data.raw_row import Source
from peft_studio.core.data.recognise import recognise
from peft_studio.core.data.scan import Scan, scan_source
from peft_studio.core.data.text_bytes import encoding_advice
from peft_studio.core.errors import DataError
from peft_studio.core.spec.data_ref import DataRef

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
GIVEN = "rows given in Python"


def open_data(
    source: Any,
    *,
    folder_for_rows: Path,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    split: float = 0.0,
    seed: int = 0,
    find_model: FindModel | None = None,
    origin: str | None = None,
) -> Dataset:
    """Open rows for training: read them once from end to end, recognise their format, note what is broken.

    Files are streamed, here and later. Rows given in Python are written to ``folder_for_rows`` under a name made of
    their digest, so that a run in another process reads the very same.

    Args:
        source: A path to a file or folder, a list of dicts, a pandas frame, or anything that yields dicts.
        folder_for_rows: Where rows given in Python are kept.
        columns: Our column name → theirs, such as ``{"prompt": "question", "completion": "answer"}``.
        format: The format, where recognition is not to decide.
        split: Share of rows to hold out for evaluation, chosen by ``seed``; a folder with a validation split keeps
            its own.
        seed: Seed of the split.
        find_model: Model name → its folder, for ``report(model)`` and ``preview``.
        origin: What the user named, where that differs from ``source``: ``hub:org/name``.

    Raises:
        DataError: Nothing there can be read, no format fits, or a name is wrong. Rows that are broken one by one are
            no error
            here but blocking ``problems``.
    """
    if not 0 <= split < 1:
        raise DataError(
            f"split is {split}; it is a share.", hint="Give a number from 0 up to, not including, 1.", fields=("split",)
        )
    path, origin = _locate(source, folder_for_rows, origin)
    opened = open_path(path)
    scan = scan_source(opened)
    if not scan.sample:
        raise _nothing_readable(scan, path)
    recognised = recognise(scan.sample, columns=columns, format_name=format)
    named_split = isinstance(opened, FolderSource) and opened.names_a_split
    ref = DataRef(
        path=str(path),
        origin=origin,
        format=recognised.name,
        columns=dict(recognised.columns),
        rows=scan.rows,
        split=0.0 if named_split else split,
        seed=seed,
        sha256=digest_of(opened),
    )
    problems = _problems(
        scan, opened, needed=tuple(recognised.columns.values()), split_refused=named_split and split > 0
    )
    held_out = scan.held_out if named_split else None
    return Dataset(opened, ref, recognised, tuple(scan.columns), problems, held_out, find_model)


def open_ref(ref: DataRef, *, verify: bool = True) -> Dataset:
    """The data set that a run spec points at, as it was when the spec was made.

    Args:
        ref: The pointer.
        verify: Compare the digest of the bytes; costs one reading of the file (about 1 GB a second).

    Raises:
        DataError: The files are gone, or their bytes are not those that the run was launched with.
    """
    source = open_path(Path(ref.path))
    if verify and digest_of(source) != ref.sha256:
        raise DataError(
            f"{ref.path} has changed since the run was launched.",
            hint="Put the old file back, or make a new spec from the file as it is now.",
        )
    recognised = Recognised(ref.format, 1.0, "as recorded in the run spec", ref.columns, given=True)
    held_out = None
    if isinstance(source, FolderSource) and source.names_a_split:
        held_out = sum(row.held_out for row in source.rows())
    return Dataset(source, ref, recognised, named_held_out=held_out)


def _locate(source: Any, folder_for_rows: Path, origin: str | None) -> tuple[Path, str]:
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.exists() and isinstance(source, str) and _HUB_ID.fullmatch(source) and not path.suffix:
            raise DataError(
                f"{source!r} is no file or folder here.",
                hint=f"If you mean the data set of that name on the Hugging Face Hub, fetch it through the studio: "
                f"studio.data({source!r}); it needs the network once.",
                fields=("source",),
            )
        return Path(os.path.realpath(path)), origin or str(source)  # a link to itself is no file, and no error here
    if hasattr(source, "itertuples") and hasattr(source, "columns"):
        return save_rows(frame_rows(source), folder_for_rows.resolve()), origin or GIVEN
    if isinstance(source, Iterable) and not isinstance(source, bytes | Mapping):
        return save_rows(source, folder_for_rows.resolve()), origin or GIVEN
    raise DataError(
        f"A data set cannot be made of {type(source).__name__}.", hint="Give a path, a list of dicts or a pandas frame."
    )


def _nothing_readable(scan: Scan, path: Path) -> DataError:
    if not scan.broken_first:
        return DataError(
            f"{path.name} has no rows.", hint="Check that this is the right file and that it was written to its end."
        )
    row = scan.broken_first[0]
    advice = (
        encoding_advice(row.file)
        if "UTF-8" in row.broken
        else "Mend the file; every one of its rows is broken like this."
    )
    return DataError(f"No row can be read. {row.place}: {row.broken}.", hint=advice)


def _problems(scan: Scan, source: Source, *, needed: tuple[str, ...], split_refused: bool) -> tuple[Finding, ...]:
    found: list[Finding] = []
    if scan.broken:
        found.append(_broken(scan))
    if len(scan.shapes) > 1:
        found.append(_mixed(scan, needed))
    if split_refused:
        message = "The folder has a validation split of its own, so split= is not applied."
        found.append(
            Finding("split-not-applied", "warning", message, fix="Name one file of the folder to split it yourself.")
        )
    return (*found, *(Finding("reading", "info", note) for note in source.notes))


def _broken(scan: Scan) -> Finding:
    shown = "; ".join(f"{row.place}: {row.broken}" for row in scan.broken_first[:5])
    more = f"; and {scan.broken - 5:,} more" if scan.broken > 5 else ""
    row = next((row for row in scan.broken_first if "UTF-8" in row.broken), None)
    mend = encoding_advice(row.file) if row else "Mend these lines"
    return Finding(
        "broken-rows",
        "blocking",
        f"Rows that cannot be read: {scan.broken:,}. {shown}{more}.",
        fix=f"{mend.rstrip('.')}, or leave them out: data.leave_out(finding.fix_action['leave_out']).",
    ).on(scan.broken_numbers, count=scan.broken)


def _mixed(scan: Scan, needed: tuple[str, ...]) -> Finding:
    usual = max(scan.shapes, key=lambda shape: scan.shapes[shape].count)
    others = {shape: seen for shape, seen in scan.shapes.items() if shape != usual}
    rows = tuple(sorted(number for seen in others.values() for number in seen.first)[:20])
    count = sum(seen.count for seen in others.values())
    lacking = sorted({name for shape in others if shape for name in set(usual) - set(shape)})
    added = sorted({name for shape in others for name in set(shape) - set(usual)})
    parts = [f"without {', '.join(lacking[:5])}"] if lacking else []
    parts += [f"with {', '.join(added[:5])} besides"] if added else []
    harm = bool(set(lacking) & set(needed))
    message = f"{count:,} of {scan.rows:,} rows have other columns than the rest ({'; '.join(parts)})."
    fix = (
        "The report names those that cannot be trained on."
        if harm
        else "Nothing, if the other columns are not for training."
    )
    return Finding("mixed-columns", "warning" if harm else "info", message, rows, count, fix)
