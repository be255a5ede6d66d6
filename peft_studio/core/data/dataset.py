"""A data set as a notebook holds it: rows on disk, a recognised format, a split. Frozen; changes give a new one.

Reads through a source; knows nothing of how files are found or opened (:mod:`opening`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.data.build import build_example
from peft_studio.core.data.encode import Encoder
from peft_studio.core.data.encoder_files import load_encoder
from peft_studio.core.data.example import Example
from peft_studio.core.data.findings import Finding, without_rows
from peft_studio.core.data.formats import Recognised
from peft_studio.core.data.raw_row import RawRow, Source
from peft_studio.core.data.split import held_out_rows
from peft_studio.core.errors import DataError, ModelError
from peft_studio.core.spec.data_ref import DataRef

if TYPE_CHECKING:
    from peft_studio.core.data.preview import Preview
    from peft_studio.core.data.report import Report

FindModel = Callable[[str], Path]
Model = Encoder | str | Path


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Rows to train on.

    ``format`` says what they were recognised as, ``rows`` how many the source has, ``columns`` what its fields are
    called, ``problems`` what was found on opening, and ``ref`` is the pointer that a run spec keeps. Row numbers
    count from 0. ``named_held_out`` is how many rows at the end the source itself holds out, where it does.
    """

    source: Source
    ref: DataRef
    format: Recognised
    columns: tuple[str, ...] = ()
    problems: tuple[Finding, ...] = ()
    named_held_out: int | None = None
    find_model: FindModel | None = field(default=None)

    @property
    def rows(self) -> int:
        """Rows in the source, the held-out, broken and left-out ones too."""
        return self.ref.rows

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows to train on and rows held out, without those left out."""
        held_out = len(self._held_out - self._left_out)
        return self.rows - len(self._left_out) - held_out, held_out

    @cached_property
    def _held_out(self) -> frozenset[int]:
        if self.named_held_out is not None:
            return frozenset(range(self.rows - self.named_held_out, self.rows))
        return held_out_rows(self.ref.rows, self.ref.split, self.ref.seed)

    @cached_property
    def _left_out(self) -> frozenset[int]:
        return frozenset(self.ref.left_out)

    def raw_rows(self) -> Iterator[RawRow]:
        """Every row that is not left out, broken ones too, with ``held_out`` as the split decides."""
        held_out, left_out = self._held_out, self._left_out
        for row in self._source_rows():
            if row.number not in left_out:
                yield row._replace(held_out=True) if row.number in held_out else row

    def raw_row(self, number: int) -> RawRow:
        """One row by its number, a left-out one too. Reads the source up to it.

        Raises:
            DataError: There is no row of that number.
        """
        found = next(islice(self._source_rows(), number, None), None) if 0 <= number < self.rows else None
        if found is None:
            raise self._no_row(number)
        return found._replace(held_out=True) if number in self._held_out else found

    def _source_rows(self) -> Iterator[RawRow]:
        try:
            yield from self.source.rows()
        except OSError as exc:  # moved, deleted, on a disk that has gone
            raise DataError(
                f"{self.ref.path} cannot be read any more: {exc.strerror}.",
                hint="Put it back where it was, or choose the data again.",
            ) from exc

    def _no_row(self, number: int) -> DataError:
        return DataError(
            f"There is no row {number}.", hint=f"Rows are numbered 0 to {self.rows - 1}.", fields=("rows",)
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows as their source has them, without those left out.

        Raises:
            DataError: At a broken row; ``leave_out`` passes over it.
        """
        return (_value(row) for row in self.raw_rows())

    def train_rows(self) -> Iterator[dict[str, Any]]:
        """As iteration, without the rows held out for evaluation."""
        return (_value(row) for row in self.raw_rows() if not row.held_out)

    def eval_rows(self) -> Iterator[dict[str, Any]]:
        """As iteration, the rows held out for evaluation alone."""
        return (_value(row) for row in self.raw_rows() if row.held_out)

    def train_examples(self) -> Iterator[Example]:
        """What training learns from, in the order of the source.

        Raises:
            RowMisfit: At a row that is broken or does not fit the format.
        """
        return (self.example(row) for row in self.raw_rows() if not row.held_out)

    def eval_examples(self) -> Iterator[Example]:
        """The same of the rows held out for evaluation."""
        return (self.example(row) for row in self.raw_rows() if row.held_out)

    def example(self, row: RawRow) -> Example:
        """One raw row in the shape that encoding takes."""
        return build_example(row, format_name=self.format.name, columns=self.format.columns)

    def leave_out(self, rows: Iterable[int]) -> Dataset:
        """The same data set without these rows, besides those left out before. The split of the others does not change.

        Raises:
            DataError: There is no row of that number.
        """
        wanted = set(rows)
        strange = sorted(number for number in wanted if not 0 <= number < self.rows)
        if strange:
            raise self._no_row(strange[0])
        left_out = tuple(sorted(wanted | self._left_out))
        return replace(
            self, ref=self.ref.model_copy(update={"left_out": left_out}), problems=without_rows(self.problems, left_out)
        )

    def report(
        self, model: Model | None = None, *, max_length: int | None = None, assistant_only: bool = True
    ) -> Report:
        """Check every row, and with a model also what its tokens will be.

        Args:
            model: A model's folder, its name, or an encoder. None checks structure alone.
            max_length: Tokens to cut rows at; None takes the model's context length.
            assistant_only: Whether the loss is on the assistant's turns alone.
        """
        from peft_studio.core.data.report import build_report

        encoder = None if model is None else self.encoder(model)
        return build_report(self, encoder, max_length=max_length, assistant_only=assistant_only)

    def preview(
        self, n: int = 3, *, model: Model | None = None, max_length: int | None = None, assistant_only: bool = True
    ) -> Preview:
        """The first ``n`` training rows as the very tokens that are trained, with those that are learnt marked.

        Without a model the rows are shown as turns.
        """
        from peft_studio.core.data.preview import build_preview

        encoder = None if model is None else self.encoder(model)
        return build_preview(self, encoder, n=n, max_length=max_length, assistant_only=assistant_only)

    def encoder(self, model: Model) -> Encoder:
        """The encoder of a model given as such, as a folder, or by a name that the studio can find."""
        if isinstance(model, Encoder):
            return model
        if Path(model).is_dir():
            return load_encoder(model)
        if self.find_model is None:
            raise ModelError(f"There is no model folder {model}.", hint="Give the folder of a model on this machine.")
        return load_encoder(self.find_model(str(model)))

    def __repr__(self) -> str:
        from peft_studio.core.data.dataset_view import dataset_text

        return dataset_text(self)

    def _repr_html_(self) -> str:
        from peft_studio.core.data.dataset_view import dataset_html

        return dataset_html(self)


def _value(row: RawRow) -> dict[str, Any]:
    if row.value is None:
        raise DataError(
            f"{row.place}: {row.broken}.", hint=f"Mend it, or leave it out: data.leave_out([{row.number}])."
        )
    return row.value
