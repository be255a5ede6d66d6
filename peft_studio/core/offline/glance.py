"""Whether something waits in an outbox, for whoever only passes by: it makes nothing, waits for nobody, and loads next to nothing."""

from __future__ import annotations

from pathlib import Path


def has_waiting(folder: Path) -> bool:
    """Whether operations wait there to be sent. True, too, where it cannot be told just now: whoever then opens the outbox will see."""
    path = folder / "outbox.sqlite"
    if not path.exists():
        return False
    from peft_studio.core.sqlite_file import holds

    return holds(path, "entries WHERE state = 'waiting'")
