"""The file survives kills at any moment and two writers at once. Real processes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from peft_studio.core.redact import Redactor
from peft_studio.core.vault import Vault
from tests.unit.core.vault.conftest import CHEAP, PASSPHRASE, MemoryKeystore

# Sets keys until it is ended and says each name when it is safe. With a step named it ends itself there, as SIGKILL would, at the second key.
WRITER = """
import itertools, os, signal, sys
from pathlib import Path
from peft_studio.core import system
from peft_studio.core.vault import Secret, Vault
from peft_studio.core.vault import file

folder, prefix, count, step = sys.argv[1:]
vault = Vault(Path(folder))
vault.unlock(Secret("correct horse battery"))
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
for number in range(int(count)) if count != "0" else itertools.count():
    if number == 1 and step == "half written":
        os.fdopen = lambda fd, mode: (os.write(fd, b"PEFTVLT1 half"), die())
    if number == 1 and step == "before it is synced":
        os.fsync = die
    if number == 1 and step == "before it is renamed":
        os.replace = die
    if number == 1 and step == "after it is renamed":
        file.sync_folder = die
    vault.set(f"{prefix}{number}", Secret(f"value of {prefix}{number}"))
    print(f"{prefix}{number}", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path, nowhere: MemoryKeystore) -> Path:
    """A vault with one key."""
    opened(tmp_path, nowhere, new=True)
    return tmp_path


def opened(folder: Path, keystore: MemoryKeystore, *, new: bool = False) -> Vault:
    vault = Vault(folder, keystore=keystore, cost=CHEAP, redactor=Redactor())
    if new:
        vault.move("passphrase", PASSPHRASE)
    else:
        vault.unlock(PASSPHRASE)
    return vault


def start(folder: Path, prefix: str, count: int = 0, step: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), prefix, str(count), step]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def held(folder: Path, keystore: MemoryKeystore) -> set[str]:
    """The names in the vault, once each has been seen to have its own value."""
    vault = opened(folder, keystore)
    for name in vault.names():
        found = vault.get(name)
        assert found
        assert found.reveal() == f"value of {name}"
    return set(vault.names())


@pytest.mark.parametrize(
    ("step", "second_is_there"),
    [
        ("half written", False),
        ("before it is synced", False),
        ("before it is renamed", False),
        ("after it is renamed", True),
    ],
)
def test_a_kill_at_each_step_leaves_the_old_file_or_the_new(
    step: str, second_is_there: bool, folder: Path, nowhere: MemoryKeystore
) -> None:
    """And the next writer clears away what was left beside it."""
    writer = start(folder, "a", step=step)
    said, _ = writer.communicate(timeout=60)

    assert writer.returncode == -9
    assert said.split() == ["a0"]
    assert held(folder, nowhere) == ({"a0", "a1"} if second_is_there else {"a0"})

    opened(folder, nowhere).remove("a0")

    assert sorted(path.name for path in folder.iterdir()) == ["vault.lock", "vault.sealed"]


def test_kills_at_any_moment_lose_nothing_that_was_said_to_be_safe(folder: Path, nowhere: MemoryKeystore) -> None:
    """Five writers after one another, each killed in the middle of its work."""
    safe = set[str]()
    for life in "abcde":
        writer = start(folder, life)
        assert writer.stdout
        with contextlib.closing(writer.stdout) as said:
            safe |= {next(said).strip() for _ in range(ord(life) - 94)}
            writer.kill()
            safe |= {line.strip() for line in said if line.endswith("\n")}
        writer.wait(timeout=60)

    assert safe <= held(folder, nowhere)
    assert len(safe) >= 25


def test_two_writers_lose_none_of_each_others_keys(folder: Path, nowhere: MemoryKeystore) -> None:
    """Each sets forty, both at once."""
    writers = [start(folder, prefix, 40) for prefix in "xy"]
    for writer in writers:
        writer.communicate(timeout=60)

    assert [writer.returncode for writer in writers] == [0, 0]
    assert held(folder, nowhere) == {f"{prefix}{number}" for prefix in "xy" for number in range(40)}
