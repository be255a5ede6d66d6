"""A line is held by one worker at a time, and its lock goes with whoever holds it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from peft_studio.core.offline import line as line_module
from peft_studio.core.offline.line import Outcome, held_line
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.system import try_lock

ROOT = Path(__file__).resolve().parents[4]
HOLDER = """
import sys
from pathlib import Path
from peft_studio.core.offline.line import held_line
from peft_studio.core.offline.outbox import Outbox
with held_line(Outbox(Path(sys.argv[1]), key=bytes(range(32))), "hub:a") as line:
    print("held" if line else "not held", flush=True)
    sys.stdin.read()
"""


def test_one_target_one_holder(outbox: Outbox) -> None:
    """Another target is free; afterwards so is this one; no file is left of an empty line."""
    outbox.put("hub:a", "log", 1)
    with held_line(outbox, "hub:a") as first, held_line(outbox, "hub:a") as second, held_line(outbox, "hub:b") as other:
        assert (first is not None, second, other is not None) == (True, None, True)
    with held_line(outbox, "hub:a") as again:
        assert again
        again.settle([Outcome(entry, "sent") for entry in again.take(9).entries])

    assert list((outbox.folder / "lines").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_killed_process_holds_nothing(outbox: Outbox) -> None:
    """While it lives it does, stopped or not; no time has to pass after its end."""
    outbox.put("hub:a", "log", 1)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(outbox.folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    holder.send_signal(signal.SIGSTOP)
    with held_line(outbox, "hub:a") as line:
        assert line is None
    holder.kill()
    holder.communicate()

    with held_line(outbox, "hub:a") as line:
        assert line


def test_a_lock_on_a_file_that_was_removed_holds_nothing(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the last holder has ended and removed the file, and another has begun with a new one."""
    last, next_one = held_line(outbox, "hub:a"), held_line(outbox, "hub:a")
    assert last.__enter__()

    def meanwhile(file: IO[Any]) -> bool:
        monkeypatch.setattr(line_module, "try_lock", try_lock)
        last.__exit__(None, None, None)
        assert next_one.__enter__()
        return try_lock(file)

    monkeypatch.setattr(line_module, "try_lock", meanwhile)
    with held_line(outbox, "hub:a") as mine:
        assert mine is None
    next_one.__exit__(None, None, None)


def test_what_is_taken_is_marked_before_it_is_returned(outbox: Outbox) -> None:
    """On disk, for another process to see; what is left untouched is as it was."""
    for n in range(3):
        outbox.put("hub:a", "log", n)
    other = Outbox(outbox.folder, key=bytes(range(32)))
    with held_line(outbox, "hub:a") as line:
        assert line
        taken = line.take(2)
        marked = [entry.unsure for entry in other.entries()]
        line.settle([Outcome(entry, "untouched") for entry in taken.entries])

    assert [entry.unsure for entry in taken.entries] == [False, False]
    assert marked == [True, True, False]
    assert [entry.unsure for entry in other.entries()] == [False, False, False]
    other.file.close()
