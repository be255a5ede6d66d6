"""Copies of a push: gone when it is done or given up, there while anything may send them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.services.publish.staged import ABANDONED_S, drop_abandoned, drop_staged
from tests.unit.core.offline.conftest import KEY, OTHER_KEY

DONE, QUEUED, FRESH, BUNDLED = (f"push-{number:016x}" for number in range(4))
MERGED, HALF = f"merged-{7:016x}", f".merged-{8:016x}"  # of a push that never came, and of a merge that was killed


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in (DONE, QUEUED, FRESH, BUNDLED, MERGED, HALF):
        folder = tmp_path / "publications" / name
        folder.mkdir(parents=True)
        (folder / "README.md").write_text("# Card")
        if name == BUNDLED:
            (folder / "bundle").mkdir()
            (folder / "bundle" / "README.md").write_text("# Card")
        when = time.time() - (0 if name == FRESH else ABANDONED_S + 60)
        os.utime(folder, (when, when))
    return tmp_path


def left(home: Path) -> list[str]:
    return sorted(path.relative_to(home / "publications").as_posix() for path in home.rglob("README.md"))


def test_only_what_nobody_will_send_goes(home: Path) -> None:
    """Not what waits, not what may be under way, not what a person is to upload."""
    outbox = Outbox(home / "outbox", key=KEY)
    outbox.put("hub:me/x", "upload", {"to": "hub", "upload": {"id": QUEUED}})
    outbox.put("hub:me/y", "log", 1)
    drop_abandoned(home, outbox.entries())
    assert left(home) == [f"{QUEUED}/README.md", f"{FRESH}/README.md", f"{BUNDLED}/bundle/README.md"]


def test_what_cannot_be_read_keeps_all(home: Path) -> None:
    """An entry sealed with a key that is not here may name any of them."""
    Outbox(home / "outbox", key=OTHER_KEY).put("hub:me/x", "upload", {"upload": {"id": QUEUED}})
    before = left(home)
    drop_abandoned(home, Outbox(home / "outbox", key=KEY).entries())
    assert left(home) == before


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "push-1", "bundle"])
def test_only_a_push_is_dropped(home: Path, name: str) -> None:
    """No other name is a folder of ours."""
    before = left(home)
    drop_staged(home, name)
    assert left(home) == before
