"""What keeps a rented run's files from being written here is said where the run is looked at, on a full disk, too."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.state import fold
from peft_studio.core.runs.store import RunStore
from peft_studio.core.runs.trouble import ROOM_BYTES, read_trouble, tell_trouble
from peft_studio.core.runs.watch import current_standing
from tests.unit.core.runs.conftest import build_spec


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunStore(tmp_path).create(build_spec())


def test_it_is_written_where_its_room_was_taken(folder: RunFolder) -> None:
    """So a full disk has a place for it: the file never grows; and what is longer is cut between two letters."""
    Mirror(folder).close()
    first = folder.trouble.stat()
    tell_trouble(folder, "é" * ROOM_BYTES)
    assert read_trouble(folder) == "é" * (ROOM_BYTES // 2)
    tell_trouble(folder, "the disk is full")
    assert read_trouble(folder) == "the disk is full"
    now = folder.trouble.stat()
    assert (now.st_ino, now.st_size, now.st_blocks) == (first.st_ino, first.st_size, first.st_blocks)


def test_it_is_told_of_a_run_that_goes_on_elsewhere(folder: RunFolder) -> None:
    """And not of one that has ended, or of one that trains here."""
    mirror = Mirror(folder)
    tell_trouble(folder, "full")

    def told() -> str:
        return current_standing(folder, fold(read_events(folder.events)), now=time.time()).trouble

    assert told() == ""
    mirror.say(ev.MachineRented(provider="alpha", label="ps-1", gpu="L4", usd_per_hour="0.39"))
    assert told() == "full"
    mirror.say(ev.Finished(state="stopped"))
    assert told() == ""
    mirror.close()


def test_bytes_of_which_the_disk_takes_a_part_are_whole_in_the_end(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nearly full disk takes some, and only refuses the next: a hole among the numbers would be taken for numbers."""
    mirror, write = Mirror(folder), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, data[:3], offset))
    mirror.take_bytes("metrics", 0, b"0123456789")
    assert (folder.metrics.read_bytes(), mirror.size_of("metrics")) == (b"0123456789", 10)
    mirror.close()


def test_an_event_that_was_written_and_not_synced_counts_when_it_comes_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in the log once, and the state has it."""
    mirror, sync, fails = Mirror(folder), os.fsync, [OSError(5, "Input/output error")]

    def failing(fd: int) -> None:
        if fails:
            raise fails.pop()
        sync(fd)

    monkeypatch.setattr(os, "fsync", failing)
    there = ev.JobStarted(pid=1, from_step=0, seq=mirror.state.last_seq + 1, at=1.0, job=1)
    with pytest.raises(OSError, match="Input/output"):
        mirror.take(there)
    mirror.take(there)
    mirror.take(there)
    assert mirror.state.last_seq == there.seq == read_events(folder.events)[-1].seq
    mirror.close()
