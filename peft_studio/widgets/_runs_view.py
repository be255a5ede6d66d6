"""Rows of the Runs panel, and a comparison, as plain JSON. All text is cleaned here; numbers stay numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.index import RunQuery, RunRow
from peft_studio.core.runs.pace import Ahead
from peft_studio.core.runs.state import LIVE, STALE_S
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._code import opening
from peft_studio.widgets._losses import Loss, columns_of
from peft_studio.widgets._run_line import heard_at
from peft_studio.widgets._text import plain

_NAME = 200  # characters
_POINTS = 160  # of a line in the comparison
_UNCOMPARED = frozenset({"version", "name", "parent_run", "tags", "chosen", "basis"})  # not what was asked for
PLACES = {"local": "This machine"}


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison is made of, for one run."""

    row: RunRow
    spec: RunSpec
    loss: Loss


def row_view(row: RunRow, folder: RunFolder, loss: Loss | None, *, now: float) -> dict[str, Any]:
    """One line of the table. ``loss`` is there for runs that may still go on."""
    heard = heard_at(row, folder)
    live = row.state in LIVE
    silent = (live and now - heard > STALE_S) or row.state == "lost"
    step = max(row.step or 0, loss.curve.last_step if loss else 0) if row.step is not None or loss else None
    left = loss.pace.left(Ahead(row.total_steps - (step or 0))) if loss and row.total_steps and not silent else None
    spent = row.time_s
    if live and not silent and spent is not None:
        spent += max(0.0, now - row.last_at)
    return {
        "id": row.id,
        "name": plain(row.name, limit=_NAME),
        "state": row.state,
        "reason": plain(row.reason, limit=_NAME),
        "live": live,
        "silent_since": heard if silent else None,
        "share": step / row.total_steps if live and step and row.total_steps else None,
        "left_s": left.value_s if left else None,
        "model": model_name(row.model),
        "method": row.method,
        "rank": row.rank,
        "where": PLACES.get(row.provider, plain(row.provider, limit=_NAME)),
        "eval_loss": _number(row.eval_loss),
        # Whole seconds while it goes on, so that the section changes, and is sent, once a second.
        "time_s": None if spent is None else round(spent) if live else round(spent, 1),
        "started_at": row.created_at,
    }


def model_name(model: str) -> str:
    """A model without the organisation or the folder before it."""
    return plain(Path(model).name, limit=_NAME)


def comparison_view(runs: Sequence[Compared]) -> dict[str, Any]:
    """Lines and measures of some runs side by side. The best is marked where two differ; a short time is no merit: the run may have been stopped."""
    measures = [
        _measure("Eval loss", "loss", [_number(one.row.eval_loss) for one in runs], best=min),
        _measure("Training loss, smoothed", "loss", [_last(one.loss) for one in runs], best=min),
        _measure("Time", "duration", [one.row.time_s for one in runs]),
        _measure("Tokens per second", "rate", [tokens_per_s(one.loss) for one in runs], best=max),
    ]
    differing, equal = differences([one.spec for one in runs])
    return {
        "runs": [
            {"id": one.row.id, "name": plain(one.row.name, limit=_NAME), "model": model_name(one.row.model),
             "method": one.row.method, "rank": one.row.rank, "points": _points(one.loss)}
            for one in runs
        ],
        "measures": measures,
        "settings": [{"name": name, "values": values} for name, values in differing.items()],
        "equal": equal,
    }  # fmt: skip


def differences(specs: Sequence[RunSpec]) -> tuple[dict[str, list[str]], int]:
    """Fields whose values are not the same in all specs, as Python writes them, and how many are the same."""
    known = [spec.model_dump(mode="json") for spec in specs]
    names = [name for name in RunSpec.model_fields if name not in _UNCOMPARED]
    differing = {}
    for name in names:
        values = [one.get(name) for one in known]
        if any(value != values[0] for value in values):
            differing[name] = [_setting(name, value) for value in values]
    return differing, len(names) - len(differing)


def tokens_per_s(loss: Loss) -> float | None:
    """Over the whole run, pauses between its jobs included; None where tokens are not logged."""
    buckets = loss.buckets()
    if len(buckets) < 2 or math.isnan(buckets[-1].tokens):
        return None
    first, last = buckets[0], buckets[-1]
    return (last.tokens - first.tokens) / (last.time_s - first.time_s) if last.time_s > first.time_s else None


def list_code(home: Path, query: RunQuery, since: str, total: int) -> str:
    """The Python that lists the same runs in the same order."""
    given = {"status": query.status, "provider": query.provider, "since": since or None, "text": query.text or None}
    filters = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    filters += [f"limit={total}"] if total > 50 else []
    code = f"{opening(home)}runs = studio.runs({', '.join(filters)})\nruns.to_pandas()"
    if (query.order_by, query.descending) != ("created_at", True):
        code += f".sort_values({query.order_by!r}, ascending={not query.descending})"
    return code


def compare_code(run_ids: Sequence[str]) -> str:
    """The Python that puts the losses of compared runs side by side, a column a run."""
    if len(run_ids) < 2:
        return ""
    losses = "studio.run(run_id).metrics().set_index('step').loss"
    return f"\n\nimport pandas\n\npandas.DataFrame({{run_id: {losses} for run_id in {tuple(run_ids)!r}}})"


def runs_snapshot(rows: Sequence[dict[str, Any]], total: int, every: int) -> str:
    """The list as a saved notebook shows it: static, escaped, without script."""
    heads = ("State", "Run", "Model", "Eval loss")
    lines = [
        (row["state"].capitalize(), row["name"] or row["id"], f"{row['model']}, {row['method']}",
         "—" if row["eval_loss"] is None else f"{row['eval_loss']:.3f}")
        for row in rows
    ]  # fmt: skip
    cell = 'style="text-align:left;padding:2px 16px 2px 0"'
    head = "".join(f"<th {cell}>{one}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td {cell}>{escape(one)}</td>' for one in line)}</tr>" for line in lines)
    count = f"{total:,} run{'s' * (total != 1)}" if total == every else f"{total:,} of {every:,} runs match"
    return (
        '<div style="font:13px/20px var(--jp-ui-font-family,system-ui,sans-serif);max-width:640px">'
        f'<div style="font-weight:600">Runs</div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"<div>{count}. Snapshot: run this cell to make it live.</div></div>"
    )


def _measure(name: str, kind: str, values: list[float | None], *, best: Any = None) -> dict[str, Any]:
    # As precise as it is shown: what reads the same is not better.
    shown = [None if value is None else round(value, 3) for value in values]
    known = [value for value in shown if value is not None]
    top = best(known) if best and len(set(known)) > 1 else None
    marked = [at for at, value in enumerate(shown) if top is not None and value == top]
    return {"name": name, "kind": kind, "values": values, "best": marked}


def _setting(name: str, value: Any) -> str:
    if name == "data" and isinstance(value, dict):  # its digest says nothing to a person
        return plain(f"{Path(str(value['origin'])).name}, {value['rows']} rows", limit=_NAME)
    return plain(value if isinstance(value, str) else repr(value), limit=_NAME)


def _points(loss: Loss) -> dict[str, list[float]]:
    points = [(bucket, value) for bucket, value in loss.points(_POINTS) if math.isfinite(value)]
    return columns_of([bucket for bucket, _ in points], loss=[value for _, value in points])


def _last(loss: Loss) -> float | None:
    points = loss.points(2)
    return _number(points[-1][1]) if points else None


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
