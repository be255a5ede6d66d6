"""A run in one line, as the sidebar has it: from the kernel, or without one from the Jupyter server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from peft_studio.core.runs.state import LIVE, STALE_S
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.runs.folder import RunFolder
    from peft_studio.core.runs.index import RunRow

_NAME = 200  # characters


def run_line(row: RunRow, folder: RunFolder) -> dict[str, Any]:
    """Name, state, how far, and when it was last heard of."""
    active, heard = row.state in LIVE, heard_at(row, folder)
    return {
        "id": row.id,
        "name": plain(row.name, limit=_NAME) or row.id,
        "state": row.state,
        "active": active,
        "stale": active and time.time() - heard > STALE_S,
        "model": plain(row.model, limit=_NAME),
        "step": row.step,
        "total_steps": row.total_steps,
        "heard_at": round(heard, 1),
    }


def heard_at(row: RunRow, folder: RunFolder) -> float:
    """The last sign of life, in seconds since 1970: the agent's heartbeat, or an event."""
    try:
        return max(folder.heartbeat.stat().st_mtime, row.last_at)
    except OSError:
        return row.last_at
