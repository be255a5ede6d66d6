"""A data set as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

from peft_studio.core.data.dataset import Dataset
from peft_studio.core.markup import block, escape, facts, finding_line, visible


def dataset_text(data: Dataset) -> str:
    """What it is, how much, and what is wrong with it."""
    lines = [f"Dataset: {visible(data.ref.origin)}", *(f"  {name:<8} {visible(value)}" for name, value in _facts(data))]
    return "\n".join([*lines, *(f"  {visible(str(problem))}" for problem in data.problems)])


def dataset_html(data: Dataset) -> str:
    """The same, everything escaped."""
    problems = "".join(finding_line(p.severity, p.message, p.fix) for p in data.problems)
    listed = f'<ul style="padding-left:1.2em;margin:.3em 0">{problems}</ul>' if problems else ""
    return block([f"<b>{escape(data.ref.origin)}</b>", facts(_facts(data)), listed])


def _facts(data: Dataset) -> list[tuple[str, str]]:
    train, held_out = data.sizes
    by = (
        "by the names of its files"
        if data.named_held_out is not None
        else f"{data.ref.split:.0%} by seed {data.ref.seed}"
    )
    held = f", {held_out:,} held out ({by})" if held_out else ""
    left = f", {len(data.ref.left_out):,} left out" if data.ref.left_out else ""
    rows = [("format", str(data.format)), ("rows", f"{data.rows:,}: {train:,} to train on{held}{left}")]
    columns = ", ".join(data.columns[:12]) + (" …" if len(data.columns) > 12 else "")
    return [*rows, ("columns", columns)] if columns else rows
