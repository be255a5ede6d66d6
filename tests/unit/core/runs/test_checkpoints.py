"""Checkpoints: there whole or not there, and a damaged one is never gone on from."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.core.runs.checkpoints import (
    MANIFEST,
    checkpoint_path,
    discard_after,
    find_newest,
    list_steps,
    prune,
    publish,
    verify,
)


def make(checkpoints: Path, step: int, *, size: int = 300) -> Path:
    """A finished checkpoint of two files, one in a folder."""
    aside = checkpoints / ".aside" / f"checkpoint-{step}"
    (aside / "deep").mkdir(parents=True)
    (aside / "weights").write_bytes(bytes([step]) * size)
    (aside / "deep" / "state.json").write_text("{}")
    publish(aside, checkpoint_path(checkpoints, step))
    return checkpoint_path(checkpoints, step)


def test_a_published_checkpoint_verifies(tmp_path: Path) -> None:
    """Every file is in the manifest, and size and digest are returned."""
    aside = tmp_path / ".aside" / "x"
    aside.mkdir(parents=True)
    (aside / "a").write_bytes(b"12345")
    digest, size = publish(aside, checkpoint_path(tmp_path, 5))
    assert (size, len(digest)) == (5, 64)
    assert verify(checkpoint_path(tmp_path, 5))
    assert list_steps(tmp_path) == [5]
    assert find_newest(tmp_path) == 5


def test_any_changed_byte_and_any_missing_file_is_found(tmp_path: Path) -> None:
    """Damage to any byte of any file, the manifest included, makes the newest older one the one to go on from."""
    make(tmp_path, 1)
    folder = make(tmp_path, 2, size=40)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert find_newest(tmp_path) == 1, (path, at)
        for cut in range(len(whole)):
            path.write_bytes(whole[:cut])
            assert find_newest(tmp_path) == 1, (path, cut)
        path.unlink()
        assert find_newest(tmp_path) == 1, path
        path.write_bytes(whole)
        assert find_newest(tmp_path) == 2


def test_a_torn_manifest_is_no_manifest(tmp_path: Path) -> None:
    """Cut anywhere, emptied, or of another shape: the checkpoint is passed over."""
    make(tmp_path, 1)
    manifest = make(tmp_path, 2) / MANIFEST
    whole = manifest.read_bytes()
    for text in (
        *(whole[:cut] for cut in range(len(whole))),
        b"[]",
        b'{"files": []}',
        b'{"files": {"weights": 5}}',
        b"\0" * 50,
    ):
        manifest.write_bytes(text)
        assert find_newest(tmp_path) == 1, text
    manifest.unlink()
    assert find_newest(tmp_path) == 1


def test_a_manifest_of_nothing_vouches_for_nothing(tmp_path: Path) -> None:
    """A manifest that lists no file cannot make an empty folder a checkpoint."""
    folder = checkpoint_path(tmp_path, 3)
    folder.mkdir()
    (folder / MANIFEST).write_text(json.dumps({"files": {}}))
    assert find_newest(tmp_path) is None


def test_other_folders_are_not_checkpoints(tmp_path: Path) -> None:
    """Unfinished ones and strangers are not looked at."""
    make(tmp_path, 7)
    for name in (".aside", "checkpoint-", "checkpoint-x", "checkpoint-8.old", "Checkpoint-9"):
        (tmp_path / name).mkdir(exist_ok=True)
    assert list_steps(tmp_path) == [7]
    assert list_steps(tmp_path / "nowhere") == []


def test_pruning_keeps_the_newest_and_discarding_the_older(tmp_path: Path) -> None:
    """Steps are compared as numbers: 10 is newer than 9."""
    for step in (8, 9, 10, 11):
        make(tmp_path, step)
    assert find_newest(tmp_path, at_most=10) == 10
    prune(tmp_path, keep=3)
    assert list_steps(tmp_path) == [9, 10, 11]
    discard_after(tmp_path, 9)
    assert list_steps(tmp_path) == [9]
    discard_after(tmp_path, 0)
    assert list_steps(tmp_path) == []


def test_passing_a_step_again_replaces_its_checkpoint(tmp_path: Path) -> None:
    """A resumed run publishes a step again over what an earlier job left there."""
    first = make(tmp_path, 4, size=10)
    assert (first / "weights").stat().st_size == 10
    make(tmp_path, 4, size=20)
    assert (first / "weights").stat().st_size == 20
    assert verify(first)


PUBLISHER = """
import sys, itertools
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.unit.core.runs.test_checkpoints import make
from peft_studio.core.runs.checkpoints import prune
import shutil
for step in itertools.count(1):
    shutil.rmtree(Path(sys.argv[1]) / ".aside", ignore_errors=True)
    make(Path(sys.argv[1]), step % 200, size=20000)
    prune(Path(sys.argv[1]), keep=2)
    print(step % 200, flush=True)
"""


def test_killed_at_any_moment_what_stands_there_is_whole(tmp_path: Path) -> None:
    """SIGKILL while checkpoints are written one after the other: every folder that stands verifies, and the last one told does too."""
    root = Path(__file__).parents[4]
    for told in (1, 2, 3, 5, 8, 13):
        checkpoints = tmp_path / f"after-{told}"
        checkpoints.mkdir()
        command = [sys.executable, "-c", PUBLISHER, str(checkpoints), str(root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            last = 0
            for line in child.stdout:
                last = int(line)
                if last == told:
                    os.kill(child.pid, signal.SIGKILL)
        newest = find_newest(checkpoints)
        assert newest is not None
        assert newest >= last
        assert all(verify(checkpoint_path(checkpoints, step)) for step in list_steps(checkpoints)[-1:])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root may make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        sys.platform != "linux"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs root on Linux to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_leaves_the_older_checkpoint(small_disk: Path) -> None:
    """ENOSPC while writing, or while writing the manifest, raises and leaves what stood there whole."""
    make(small_disk, 1, size=20_000)
    with pytest.raises(OSError, match="No space"):
        make(small_disk, 2, size=60_000)
    assert find_newest(small_disk) == 1
    shutil.rmtree(small_disk / ".aside")
    aside = small_disk / ".aside" / "checkpoint-2"
    aside.mkdir(parents=True)
    (aside / "weights").write_bytes(bytes(100))
    filler = small_disk / "filler"
    fill(filler)
    with pytest.raises(OSError, match="No space"):
        publish(aside, checkpoint_path(small_disk, 2))
    assert find_newest(small_disk) == 1
    filler.unlink()
    publish(aside, checkpoint_path(small_disk, 2))
    assert find_newest(small_disk) == 2
