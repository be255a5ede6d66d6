"""Checks of the Data panel: the report of the data for a model, and one row as that model is trained on it. Slow; no page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from peft_studio.core.data import Dataset, Encoder, Report, load_encoder
from peft_studio.core.data.columns import Column, look_at_columns
from peft_studio.core.data.preview import PreviewRow, preview_row
from peft_studio.core.data.raw_row import RawRow
from peft_studio.core.errors import DataError, StudioError
from peft_studio.core.models.prepared import find_pointed
from peft_studio.widgets._host import Host


class Job(NamedTuple):
    """What to check, and how it would be trained."""

    data: Dataset
    model: str
    max_length: int | None
    assistant_only: bool


@dataclass(frozen=True, eq=False)
class Checked:
    """The report of a job. ``problem`` is why it has no tokens: the model could not be had."""

    report: Report
    encoder: Encoder | None
    problem: StudioError | None
    seconds: float


class Shown(NamedTuple):
    """One row, as its source has it and as it is trained. ``left_out`` says that it is not."""

    raw: RawRow
    trained: PreviewRow
    left_out: bool
    with_tokens: bool


@dataclass(frozen=True, eq=False)
class Looked:
    """What can be said of data at a glance."""

    columns: tuple[Column, ...]
    size_bytes: int


class Checker:
    """Checks jobs, one after the other. Keeps the tokenizer of the last model; ``words`` say what it is doing."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._known: tuple[str, Encoder] | None = None
        self.words = ""

    def check(self, job: Job) -> Checked:
        """The report; without tokens where the model cannot be had.

        Raises:
            DataError: The source cannot be read on from some place.
        """
        began, problem, encoder = time.monotonic(), None, None
        try:
            encoder = self._encoder(job.model)
        except StudioError as exc:
            problem = exc
        self.words = "Reading every row"
        report = job.data.report(encoder, max_length=job.max_length, assistant_only=job.assistant_only)
        return Checked(report, encoder, problem, time.monotonic() - began)

    def find_encoder(self, model: str) -> Encoder | None:
        """The model's tokenizer, if it is the last one that was had."""
        known = self._known
        return known[1] if known and known[0] == model else None

    def _encoder(self, model: str) -> Encoder:
        if self._known is None or self._known[0] != model:
            self.words = f"Preparing {model}"
            folder = Path(model).expanduser()
            if not (folder / "tokenizer.json").is_file():
                folder = self._studio.prepare(model, progress=self._tell)
            self._known = model, load_encoder(folder)
        return self._known[1]

    def _tell(self, text: str) -> None:
        self.words = text


def show_row(job: Job, number: int, encoder: Encoder | None) -> Shown:
    """One row of the data. Reads the source up to it."""
    raw = job.data.raw_row(number)
    max_length = job.max_length if job.max_length is not None or encoder is None else encoder.context_tokens
    trained = preview_row(job.data, raw, encoder, max_length=max_length, assistant_only=job.assistant_only)
    return Shown(raw, trained, number in job.data.ref.left_out, encoder is not None)


def look_at(data: Dataset) -> Looked:
    """Its columns, and its size on disk."""
    return Looked(look_at_columns(data.source), sum(path.stat().st_size for path in data.source.files))


def columns_of(source: Any, home: Path) -> tuple[Column, ...]:
    """The columns of a source that could not be opened as it is, for mapping them by hand; none where that fails too."""
    path = Path(source).expanduser()
    found = path.resolve() if path.exists() else find_pointed(source, home, kind="datasets")
    try:
        return look_at_columns(found) if found else ()
    except DataError:
        return ()  # why is known already: it is the same reason
