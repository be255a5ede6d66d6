"""A list of runs as a user meets it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from peft_studio.core.errors import RentError, StudioError
from peft_studio.core.markup import block, escape, table
from peft_studio.core.runs.index import RunRow
from peft_studio.core.services.run import Run
from peft_studio.core.words import usd

if TYPE_CHECKING:
    import pandas

HEADS = ("id", "name", "state", "model", "method", "step", "loss", "eval loss")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class RunList(Sequence[Run]):
    """Runs, newest first: iterate, index, or ``to_pandas()``. ``find_costs``: dollars of rented ones by id, asked for when it is shown."""

    def __init__(
        self,
        rows: list[RunRow],
        open_run: Callable[[str], Run],
        *,
        find_costs: Callable[[], Mapping[str, Decimal]] = dict,
    ) -> None:
        self.rows = rows
        self._open, self._find_costs = open_run, find_costs

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Run:  # type: ignore[override]  # a slice of handles has no use
        return self._open(self.rows[index].id)

    def __iter__(self) -> Iterator[Run]:
        return (self._open(row.id) for row in self.rows)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run; times aware, UTC."""
        import pandas

        frame = pandas.DataFrame([asdict(row) for row in self.rows], columns=list(RunRow.__slots__))
        frame["cost_usd"] = pandas.Series([self._cost(row) for row in self.rows], dtype=object)
        for column in ("created_at", "last_at"):
            frame[column] = pandas.to_datetime(frame[column], unit="s", utc=True)
        return frame

    def __repr__(self) -> str:
        if not self.rows:
            return "No runs."
        cells = self._cells()
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        return block([table(head, rows), *map(escape, self._notes())] if self.rows else ["No runs."])

    @cached_property
    def _costs(self) -> Mapping[str, Decimal] | RentError:
        """Or why they are not known."""
        try:
            return self._find_costs()
        except RentError as exc:
            return exc

    def _cost(self, row: RunRow) -> Decimal | None:
        """None for a rented run whose cost is not known now."""
        costs = self._costs
        if isinstance(costs, RentError):
            return None if _is_rented(row) else Decimal(0)
        return costs.get(row.id, Decimal(0))

    def _notes(self) -> list[str]:
        unknown = isinstance(self._costs, RentError) and any(map(_is_rented, self.rows))
        return [f"What rented runs cost is not known. {self._costs}"] if unknown else []

    def _cells(self) -> list[tuple[str, ...]]:
        """Head and rows; costs stand there where one of these runs was rented."""
        costs = self._costs if self.rows else {}
        known = [] if isinstance(costs, RentError) else costs
        if not any(row.id in known for row in self.rows) and not self._notes():
            return [HEADS, *map(_cells, self.rows)]
        amounts = [self._cost(row) for row in self.rows]
        shown = ["—" if amount is None else usd(amount) for amount in amounts]
        return [(*HEADS, "cost"), *((*_cells(row), cost) for row, cost in zip(self.rows, shown, strict=True))]


def _is_rented(row: RunRow) -> bool:
    return row.provider != "local"


def _cells(row: RunRow) -> tuple[str, ...]:
    step = f"{row.step} of {row.total_steps}" if row.step is not None and row.total_steps else "—"
    name = row.name or f"{datetime.fromtimestamp(row.created_at, UTC):%d %b %H:%M}"
    loss, eval_loss = (f"{value:.3f}" if value is not None else "—" for value in (row.loss, row.eval_loss))
    return (row.id, name, row.state, row.model, row.method, step, loss, eval_loss)


def parse_since(since: str | datetime | None) -> float | None:
    """A time, or an age such as ``"7d"``, as seconds since 1970."""
    if since is None:
        return None
    if isinstance(since, datetime):
        return since.astimezone(UTC).timestamp()
    if (age := re.fullmatch(r"(\d+)([smhdw])", since)) is None:
        raise StudioError(f"{since!r} is no age.", hint="Say for instance '12h', '7d' or '4w', or give a datetime.")
    return (datetime.now(UTC) - timedelta(seconds=int(age[1]) * _SECONDS[age[2]])).timestamp()
