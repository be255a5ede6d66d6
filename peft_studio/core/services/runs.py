"""A list of runs as a user meets it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from peft_studio.core.errors import StudioError
from peft_studio.core.markup import block, table
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
        costs = self._costs
        frame["cost_usd"] = pandas.Series([costs.get(row.id, Decimal(0)) for row in self.rows], dtype=object)
        for column in ("created_at", "last_at"):
            frame[column] = pandas.to_datetime(frame[column], unit="s", utc=True)
        return frame

    def __repr__(self) -> str:
        if not self.rows:
            return "No runs."
        cells = self._cells()
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        )

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        return block([table(head, rows)] if self.rows else ["No runs."])

    @cached_property
    def _costs(self) -> Mapping[str, Decimal]:
        return self._find_costs()

    def _cells(self) -> list[tuple[str, ...]]:
        """Head and rows; costs stand there where one of these runs was rented."""
        costs = self._costs if self.rows else {}
        if not any(row.id in costs for row in self.rows):
            return [HEADS, *map(_cells, self.rows)]
        return [(*HEADS, "cost"), *((*_cells(row), usd(costs.get(row.id, Decimal(0)))) for row in self.rows)]


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
