"""Runs side by side: what was asked for, how far each came, its curve. Numbers only as the runs logged them; it names no winner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import StudioError
from peft_studio.core.markup import SERIES, block, curves, table
from peft_studio.core.runs.metrics import merge_steps, read_metrics
from peft_studio.core.services.run import Run

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

COLUMNS: Mapping[str, str] = {  # column of the table → its head and form where people read it
    "run": "run|{}",
    "state": "state|{}",
    "method": "method|{}",
    "rank": "rank|{}",
    "learning_rate": "learning rate|{:g}",
    "step": "steps|{:,}",
    "first_loss": "first loss|{:.3f}",
    "loss": "last loss|{:.3f}",
    "eval_loss": "eval loss|{:.3f}",
    "s_per_step": "seconds a step|{:.2f}",
    "memory_gb": "peak memory GB|{:.2f}",
    "adapter_mb": "adapter MB|{:.1f}",
}


class Comparison:
    """Some runs as a table and as curves in one figure; read when it is made."""

    def __init__(self, runs: Sequence[Run]) -> None:
        if not runs:
            raise StudioError("There is nothing to compare.", hint="Give runs: studio.compare(studio.runs()).")
        self.runs = tuple(runs)
        self._steps = [merge_steps(read_metrics(run.folder.metrics)) for run in self.runs]
        self._rows = [_row(run, steps) for run, steps in zip(self.runs, self._steps, strict=True)]

    def table(self) -> pandas.DataFrame:
        """One row a run, in the order given; NaN where a run has no such number."""
        import pandas

        return pandas.DataFrame(self._rows, columns=list(COLUMNS))

    def plot(self) -> plotly.graph_objects.Figure:
        """Training loss by step of all of them as a Plotly figure."""
        from peft_studio.core.services.plot import build_overlay

        return build_overlay(self._lines())

    def _lines(self) -> list[tuple[str, list[tuple[float, float]]]]:
        """Name and points of each run that has a curve, in the order of the runs: so colours agree everywhere."""
        return [
            (row["run"], [(step, values["loss"]) for step, values in sorted(steps.items()) if "loss" in values])
            for row, steps in zip(self._rows, self._steps, strict=True)
        ]

    def __repr__(self) -> str:
        lines = [tuple(_heads()), *map(_cells, self._rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _repr_html_(self) -> str:
        lines = [(f"{name}: loss by step", points) for name, points in self._lines()[: len(SERIES)]]
        return block([table(_heads(), map(_cells, self._rows)), curves(lines)])


def _row(run: Run, steps: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    state, standing = run.read()
    trained = [(step, values) for step, values in sorted(steps.items()) if "loss" in values]
    evaluated = [values["eval_loss"] for _, values in sorted(steps.items()) if "eval_loss" in values]
    (first, began), (last, ended) = (trained[0], trained[-1]) if trained else ((0, {}), (0, {}))
    spent = ended.get("time_s", 0.0) - began.get("time_s", 0.0)
    return {
        "run": state.name or run.id,
        "state": standing.state,
        "method": run.spec.method,
        "rank": run.spec.rank,
        "learning_rate": run.spec.learning_rate,
        "step": last,
        "first_loss": began.get("loss"),
        "loss": ended.get("loss"),
        "eval_loss": evaluated[-1] if evaluated else None,
        "s_per_step": spent / (last - first) if last > first and spent > 0 else None,
        "memory_gb": _peak_memory_gb(run),
        "adapter_mb": state.adapter.size_bytes / 1e6 if state.adapter else None,
    }


def _peak_memory_gb(run: Run) -> float | None:
    """The most that the trainer was seen to hold: on a GPU where it has one, else in memory. Looked at every few seconds."""
    rows = [row.values for row in read_metrics(run.folder.system)]
    for name in ("gpu_memory_bytes", "rss_bytes"):
        if peak := max((values[name] for values in rows if name in values), default=0.0):
            return peak / 1e9
    return None


def _heads() -> list[str]:
    return [form.partition("|")[0] for form in COLUMNS.values()]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        "—" if row[name] is None else form.partition("|")[2].format(row[name]) for name, form in COLUMNS.items()
    )
