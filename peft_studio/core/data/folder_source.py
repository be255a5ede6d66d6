"""A folder of data files as one source: which files count, which are held out by their name, and in what order.

Knows the layouts of ``datasets.save_to_disk`` and of data repositories (``data/train-00000-of-00002.parquet``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peft_studio.core.data.raw_row import RawRow, Source
from peft_studio.core.errors import DataError

OpenFile = Callable[[Path, str], Source]

_VALIDATION = {"validation", "valid", "val", "dev", "eval", "evaluation"}
_NO_DATA = {
    "readme.md",
    "license.txt",
    "license.md",
    "dataset_info.json",
    "dataset_infos.json",
    "state.json",
    "dataset_dict.json",
}


@dataclass(frozen=True)
class FolderSource:
    """Training files in the order of their names, then the held-out ones."""

    parts: tuple[tuple[Source, bool], ...]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for source, _ in self.parts for file in source.files)

    @property
    def names_a_split(self) -> bool:
        """Whether the folder itself says which rows to evaluate on; those come last."""
        return any(held_out for _, held_out in self.parts)

    def rows(self) -> Iterator[RawRow]:
        number = 0
        for source, held_out in self.parts:
            for row in source.rows():
                yield row._replace(number=number, held_out=held_out)
                number += 1


def open_folder(folder: Path, *, endings: Sequence[str], open_file: OpenFile) -> FolderSource:
    """Every data file of the folder; files named for validation are held out.

    Without a validation split a test split takes its place; beside one it is left unread, and a note says so.

    Raises:
        DataError: There is no data file, or one cannot be opened.
    """
    paths = _saved_arrow_files(folder) or _data_files(folder, endings)
    if not paths:
        raise DataError(f"{folder} has no data files.", hint=f"Put files ending in {', '.join(endings)} there.")
    by_split: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for path in paths:
        by_split[_split_of(path.relative_to(folder))].append(path)
    train, validation, test = by_split["train"], by_split["validation"], by_split["test"]
    notes: list[str] = []
    if not train:  # a folder of a lone test split is a folder of rows like any other
        train, validation, test = [*validation, *test], [], []
    if test and validation:
        notes.append(f"The test split ({', '.join(str(p.relative_to(folder)) for p in test[:3])}) is not used.")
    held_out = validation or test
    if held_out:
        names = ", ".join(str(path.relative_to(folder)) for path in held_out[:3])
        notes.append(f"Held out for evaluation by name: {names}{' …' if len(held_out) > 3 else ''}.")
    parts = [(open_file(path, str(path.relative_to(folder))), path in held_out) for path in (*train, *held_out)]
    return FolderSource(tuple(parts), (*notes, *(note for source, _ in parts for note in source.notes)))


def _saved_arrow_files(folder: Path) -> list[Path]:
    """Arrow files in the order that ``save_to_disk`` noted, of one data set or of several splits."""
    roots = (
        [folder] if (folder / "state.json").is_file() else sorted(path.parent for path in folder.glob("*/state.json"))
    )
    found: list[Path] = []
    for root in roots:
        try:
            state = json.loads((root / "state.json").read_text(encoding="utf-8"))
            names = [Path(entry["filename"]).name for entry in state["_data_files"]]
        except (ValueError, LookupError, TypeError):
            continue  # some other program's state.json
        found += [root / name for name in names]
    missing = [path for path in found if not path.is_file()]
    if missing:
        raise DataError(
            f"{missing[0]} is missing from the saved data set.", hint="Save or copy the whole folder again."
        )
    return found


def _data_files(folder: Path, endings: Sequence[str]) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in endings
        and path.name.lower() not in _NO_DATA
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    # Notes and licences often lie beside the data; text counts only where there is nothing else.
    return [path for path in found if path.suffix.lower() not in (".txt", ".md")] or found


def _split_of(path: Path) -> str:
    """The split that a file's name or folder says: ``validation-00000-of-00001.parquet``, ``test/data.jsonl``."""
    for part in (*path.parts[:-1], path.stem):
        words = set(re.split(r"[^a-z]+", part.lower()))
        if words & _VALIDATION:
            return "validation"
        if "test" in words:
            return "test"
        if "train" in words:
            return "train"
    return "train"
