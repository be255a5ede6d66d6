"""Rows as a user meets them: a sequence that prints as a table in a terminal and in a notebook. All text is shown as text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar, overload

from peft_studio.core.markup import block, escape, table, visible

T = TypeVar("T")
CELL_CHARACTERS = 60


class Table(Sequence[T], Generic[T], ABC):
    """``HEADS`` and :meth:`cells` say what is shown; ``notes`` stand below the rows, ``nothing`` in their place."""

    HEADS: tuple[str, ...]
    nothing = "Nothing."

    def __init__(self, rows: Sequence[T], *, notes: Sequence[str] = ()) -> None:
        self.rows = tuple(rows)
        self.notes = tuple(notes)

    @abstractmethod
    def cells(self, row: T) -> tuple[str, ...]:
        """A row's texts, one a head."""

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self.rows[index]

    def __repr__(self) -> str:
        lines = [self.HEADS, *(tuple(map(_short, self.cells(row))) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.HEADS))]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([*(shown if self.rows else [self.nothing]), *(visible(note) for note in self.notes)])

    def _repr_html_(self) -> str:
        rows = (
            table(self.HEADS, (tuple(map(_short, self.cells(row))) for row in self.rows))
            if self.rows
            else escape(self.nothing)
        )
        return block([rows, *(f"<div>{escape(note)}</div>" for note in self.notes)])


def _short(text: str) -> str:
    """On one line, and short enough for a column."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= CELL_CHARACTERS else line[: CELL_CHARACTERS - 1] + "…"
