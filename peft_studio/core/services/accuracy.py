"""How good the estimates have been: what was predicted of this home's finished runs beside what happened, and what is learned from it.

Read from the runs' own folders, the newest first; nothing is kept that a deleted run or index could leave wrong. ``reset()`` keeps the
runs and forgets what was learned from them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from types import MappingProxyType
from typing import TYPE_CHECKING

from peft_studio.core.estimators import Correction, learn_corrections
from peft_studio.core.markup import block, table
from peft_studio.core.services.outcomes import FILE, Record, list_records, read_since
from peft_studio.core.services.quote_view import UNKNOWN
from peft_studio.core.system import write_private
from peft_studio.core.words import duration, gib

if TYPE_CHECKING:
    import pandas

COLUMNS = ("run", "device", "family", "method", "predicted_bytes", "actual_bytes", "predicted_s", "actual_s")


class Accuracy:
    """The record of a home, newest run first, and what is learned from it. Prints as a table."""

    def __init__(self, home: Path, records: tuple[Record, ...], since: float) -> None:
        self._home = home
        self.records = records
        self.since = since
        self.corrections = learn_corrections(outcome for record in records for outcome in record.outcomes())

    def __len__(self) -> int:
        return len(self.records)

    def reset(self) -> Accuracy:
        """Forget what was learned: quotes are uncorrected until further runs finish. Runs and their predictions stay."""
        write_private(self._home / FILE, json.dumps({"since": time.time()}) + "\n")
        return read_accuracy(self._home)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: ids, predicted and actual bytes and seconds, and their ratios (predicted ÷ actual)."""
        import pandas

        frame = pandas.DataFrame([_values(record) for record in self.records], columns=list(COLUMNS))
        for name in ("bytes", "s"):
            frame[f"ratio_{name}"] = pandas.to_numeric(frame[f"predicted_{name}"]) / pandas.to_numeric(
                frame[f"actual_{name}"]
            )
        return frame

    def __repr__(self) -> str:
        if not self.records:
            return "No finished run with a prediction yet: estimates stand uncorrected."
        lines = [HEADS, *(_cells(record) for record in self.records)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(HEADS))]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([*shown, "", self.summary, *map(" ".join, self._learned())])

    def _repr_html_(self) -> str:
        if not self.records:
            return block([repr(self)])
        parts = [table(HEADS, map(_cells, self.records)), f"<p>{self.summary}</p>"]
        return block([*parts, table(("learned for", "factor", "from"), self._learned())])

    @property
    def summary(self) -> str:
        """Mean errors of what was shown, in a sentence."""
        errors = {
            name: [abs(ratio - 1) for record in self.records if (ratio := _ratio(record, name))]
            for name in ("memory", "time")
        }
        words = [
            f"{name} off by {mean(each):.0%} on average over {len(each)}".replace("%", " %")
            for name, each in errors.items()
            if each
        ]
        return "Predicted before launch: " + ("; ".join(words) or UNKNOWN) + "."

    def _learned(self) -> list[tuple[str, str, str]]:
        return [
            (
                f"{family} {method} on {device}, {quantity}:",
                f"×{one.factor:.2f}",
                f"({one.runs} run{'s' if one.runs > 1 else ''})",
            )
            for (device, family, method, quantity), one in sorted(self.corrections.items())
        ]


HEADS = ("run", "method", "family", "memory predicted", "actual", "ratio", "time predicted", "actual", "ratio")


def read_accuracy(home: Path) -> Accuracy:
    """The record of a home's finished runs since the last reset."""
    since = read_since(home)
    return Accuracy(home, tuple(list_records(home, since)), since)


def read_corrections(home: Path) -> Mapping[tuple[str, str, str, str], Correction]:
    """What is learned from them; empty where nothing is."""
    found = read_accuracy(home)
    return found.corrections if found.records else MappingProxyType({})


def _values(record: Record) -> tuple[object, ...]:
    expected, actual = record.prediction, record.actual
    shown = [None if one is None else float(one.value) for one in (expected.memory, expected.duration)]
    return (
        record.run_id, expected.device, expected.family, expected.method, shown[0], actual.memory_bytes, shown[1], actual.total_s,
    )  # fmt: skip


def _ratio(record: Record, name: str) -> float | None:
    expected = record.prediction.memory if name == "memory" else record.prediction.duration
    actual = record.actual.memory_bytes if name == "memory" else record.actual.total_s
    return float(expected.value) / actual if expected is not None and actual else None


def _cells(record: Record) -> tuple[str, ...]:
    expected, actual = record.prediction, record.actual
    ratios = [
        UNKNOWN if ratio is None else f"{ratio:.2f}" for ratio in (_ratio(record, "memory"), _ratio(record, "time"))
    ]
    memory = [
        UNKNOWN if size is None else gib(size)
        for size in (None if expected.memory is None else expected.memory.value, actual.memory_bytes)
    ]
    spent = [
        UNKNOWN if expected.duration is None else duration(expected.duration.value),
        duration(actual.total_s),
    ]
    return (record.run_id, expected.method, expected.family, *memory, ratios[0], *spent, ratios[1])
