"""A glance at an outbox: whether something waits, without making or holding anything."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from peft_studio.core.offline.glance import has_waiting
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.repair import drop
from tests.unit.core.offline.conftest import KEY


def test_it_sees_what_waits(tmp_path: Path) -> None:
    """Nothing in an outbox that never was, or is empty again; something where an entry waits, or another process is writing."""
    folder = tmp_path / "what # a? name"
    assert not has_waiting(folder)
    assert not folder.exists()
    outbox = Outbox(folder, key=KEY)
    outbox.put("hub:me/x", "upload", 1, id="e1")
    assert has_waiting(folder)
    drop(outbox, "e1")
    assert not has_waiting(folder)
    other = sqlite3.connect(folder / "outbox.sqlite")
    other.execute("BEGIN EXCLUSIVE")
    assert has_waiting(folder)
    other.close()
