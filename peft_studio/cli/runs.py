"""``peft-studio runs``: the runs of a home as a table that fits the terminal, or as JSON lines."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

from peft_studio._studio import Studio
from peft_studio.cli import figures
from peft_studio.cli.terminal import Line, Terminal, cells, fit
from peft_studio.core.runs.index import RunRow
from peft_studio.widgets._text import plain

GAP = "  "
# Head, whether the numbers stand right, and how soon the column leaves when the terminal is narrow (0: never).
COLUMNS = (
    ("id", False, 0), ("state", False, 0), ("age", True, 2), ("name", False, 3), ("model", False, 5), ("method", False, 6),
    ("step", True, 4), ("loss", True, 1), ("eval loss", True, 7),
)  # fmt: skip
NAME = 24
_ROLES = {"completed": "ok", "failed": "error", "lost": "warn", "stopped": "muted", "queued": "muted"}


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """List the runs that match."""
    studio = Studio(home=arguments.home)
    rows = studio.runs(status=arguments.status, since=arguments.since, text=arguments.text, limit=arguments.limit).rows
    if arguments.json:
        for row in rows:
            terminal.put([(json.dumps(asdict(row)), "")])
        return 0
    if not rows:
        terminal.say(f"No runs{_asked(arguments)} in {studio.home}.")
        return 0
    for line in build_table(rows, width=terminal.width, now=time.time()):
        terminal.put(line)
    if len(rows) == arguments.limit:
        terminal.say(f"The newest {arguments.limit}; --limit shows more.", "muted")
    return 0


def build_table(rows: list[RunRow], *, width: int, now: float) -> list[Line]:
    """Head and rows. Columns leave in a fixed order until the rest fits."""
    heads = [head for head, _, _ in COLUMNS]
    table = [heads, *(_cells(row, now) for row in rows)]
    widths = [max(cells(line[column]) for line in table) for column in range(len(COLUMNS))]
    shown = list(range(len(COLUMNS)))
    while sum(widths[c] for c in shown) + len(GAP) * (len(shown) - 1) > width and any(COLUMNS[c][2] for c in shown):
        shown.remove(max(shown, key=lambda column: COLUMNS[column][2]))
    lines = []
    for number, texts in enumerate(table):
        role = "muted" if number == 0 else ""
        line: Line = []
        for column in shown:
            text, right = texts[column], COLUMNS[column][1]
            room = " " * (widths[column] - cells(text))
            hue = _ROLES.get(rows[number - 1].state, "accent") if number and COLUMNS[column][0] == "state" else role
            line += [(room + text if right else text + room, hue), (GAP, "")]
        lines.append(fit(line[:-1], width))
    return lines


def _cells(row: RunRow, now: float) -> list[str]:
    step = f"{row.step:,} of {row.total_steps:,}" if row.step is not None and row.total_steps else figures.UNKNOWN
    return [
        row.id, row.state.capitalize(), figures.duration(now - row.created_at), plain(row.name, limit=NAME) or figures.UNKNOWN,
        plain(row.model, limit=NAME), row.method, step, figures.loss(row.loss), figures.loss(row.eval_loss),
    ]  # fmt: skip


def _asked(arguments: argparse.Namespace) -> str:
    asked = [f"{name} {value}" for name in ("status", "since", "text") if (value := getattr(arguments, name))]
    return f" with {', '.join(asked)}" if asked else ""
