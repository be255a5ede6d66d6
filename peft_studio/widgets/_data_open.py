"""The half of the Data panel that opens data: by path, by hub id, by dropping a file, or the example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft_studio.core.data import Dataset
from peft_studio.core.data.columns import Column
from peft_studio.core.errors import DataError
from peft_studio.quickstart import data_path
from peft_studio.widgets import _data_view as view
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._data_check import columns_of
from peft_studio.widgets._data_code import source_of
from peft_studio.widgets._data_files import MOST_PIECE_BYTES, MOST_UPLOAD_BYTES, Uploads, list_folder
from peft_studio.widgets._host import Host
from peft_studio.widgets._newest import Newest
from peft_studio.widgets._text import plain


class DataOpening(Content):
    """Opens data into the session on a thread of its own. What was chosen before stays until the new is read."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._opening: Newest[Dataset] = Newest("data-open", turns=True)
        self._uploads: Uploads | None = None
        self._asked = 0  # how often something was opened here
        self._dismissed = 0
        self._opens = ""  # what is being opened, in words
        self._unmapped: tuple[str, tuple[Column, ...]] = ("", ())  # a source that no format fits, and its columns

    def opening_sections(self) -> dict[str, Any]:
        """What is being opened, or why the last one could not be."""
        return {
            "opening": plain(self._opens, limit=200) if self._opening.busy else None,
            "failed": self._failed(),
            "limits": {"upload_bytes": MOST_UPLOAD_BYTES, "piece_bytes": MOST_PIECE_BYTES},
            "formats": view.SHAPES,
        }

    def _failed(self) -> dict[str, Any] | None:
        done = self._opening.find(self._asked)
        if done is None or done.problem is None or self._dismissed == self._asked:
            return None
        source, columns = self._unmapped
        return {**done.problem, "source": plain(source), "columns": view.columns_section(columns)}

    @command
    def open(
        self, source: str | None = None, columns: Mapping[str, str] | None = None, format: str | None = None,
        split: float = 0.0, seed: int = 0,
    ) -> None:  # fmt: skip
        """Open a path or a hub id, or what is shown once more with other options. What is shown stays until it is read."""
        left_out = self._need().ref.left_out if source is None else ()
        source = source_of(self._need().ref) if source is None else source.strip().strip("\"'")
        if not source or plain(source) != source:
            raise DataError("That is no path and no hub id.", hint="Type the path of a file or folder, or org/name.")
        self._ask(source, left_out, columns=columns or None, format=format or None, split=split, seed=seed)

    @command
    def example(self) -> None:
        """Open the quickstart's orders."""
        self._ask(str(data_path()))

    @command
    def browse(self, folder: str | None = None) -> dict[str, Any]:
        """List a folder, the kernel's own at first."""
        return list_folder(folder)

    @command
    def upload_begin(self, file: str, size: int) -> str:
        """Get ready for a file that is dropped here; returns what its pieces are sent with."""
        self._uploads = self._uploads or Uploads(self._studio.home / "data" / "uploads")
        return self._uploads.begin(file, size)

    @command
    def upload_piece(self, token: str, at: int, data: str) -> int:
        """Take a piece of a dropped file."""
        return self._uploads.add(token, at, data) if self._uploads else 0

    @command
    def upload_end(self, token: str) -> None:
        """The file is whole: open it."""
        if self._uploads:
            self._ask(str(self._uploads.end(token)))

    @command
    def dismiss(self) -> None:
        """Take away what was said of the last failed opening."""
        self._dismissed = self._asked

    def _ask(self, source: str, left_out: tuple[int, ...] = (), **options: Any) -> None:
        self._opens = f"Reading {source}"
        self._asked += 1
        self._opening.ask(self._asked, lambda: self._open(source, left_out, options))

    def _open(self, source: str, left_out: tuple[int, ...], options: dict[str, Any]) -> Dataset:
        self._unmapped = source, ()
        try:
            data = self._studio.data(source, **options)
            if left_out:
                data = data.leave_out(row for row in left_out if row < data.rows)
                self._studio.session.choose(data=data)
            return data
        except DataError as exc:
            if "columns" in exc.fields:
                self._unmapped = source, columns_of(source, self._studio.home)
            raise

    def _need(self) -> Dataset:
        data = self._studio.session.now.data
        if data is None:
            raise DataError("No data is chosen.", hint="Choose a file first.")
        return data

    def close(self) -> None:
        """Drop files that have not come whole."""
        if self._uploads:
            self._uploads.close()
