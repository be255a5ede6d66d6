"""Drill: the disk of a rented machine, a real file system of a few megabytes, is full. The reason is said, and what was good before is home."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.core.runs.checkpoints import find_newest
from tests.e2e.drills.drill import EVERYWHERE, LONG, Clock, Drill, steps, told, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.stress]


@pytest.fixture
def small_disks(drill: Drill) -> Iterator[list[str]]:
    """Machines get a disk of their own: of the sizes in the list, one after the other; then the usual."""
    sizes: list[str] = []
    mounted: list[Path] = []

    def mount(folder: Path) -> None:
        disk = folder / "peft-studio"
        if sizes and not disk.exists():
            disk.mkdir(parents=True)
            command = ["mount", "-t", "tmpfs", "-o", f"size={sizes.pop(0)}", "tmpfs", str(disk)]
            if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("needs root on Linux to mount a small disk")
            mounted.append(disk)

    drill.machines.prepare = mount
    yield sizes
    for machine in drill.machines:
        machine.end()
    for disk in mounted:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Take all that is left."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@EVERYWHERE
def test_a_disk_that_fills_up_ends_the_run_with_its_reason_and_loses_nothing_good(
    drill: Drill, small_disks: list[str]
) -> None:
    """The next checkpoint does not fit: the run fails as ``disk_full``, the one before is home and whole, the machine is ended, and it goes on elsewhere."""
    small_disks.append("64m")
    client = drill.client()
    run = drill.launch(client, **LONG)
    wait_for(lambda: run.checkpoints, "a checkpoint at home", timeout_s=300)
    there = drill.there(run)[0]
    [trainer] = drill.processes("train", str(there.path))
    trainer.suspend()
    fill(there.home.parent)
    trainer.resume()
    full = Clock()
    wait_for(lambda: run.state == "failed", "the run's end", timeout_s=60)
    print(f"the run ended {full.s:.1f} s after its disk was full")
    assert run.failure
    assert run.failure.code == "disk_full"
    assert "run.resume()" in run.failure.hint
    good = find_newest(there.checkpoints)
    assert run.checkpoints[-1] == good
    assert steps(run.folder) == steps(there)
    wait_for(lambda: "machine_gone" in told(run), "the proof that it is gone", timeout_s=60)
    print(f"proven gone {full.s:.1f} s after its disk was full; {steps(there)[-1] - run.checkpoints[-1]} steps lost")
    assert not drill.left()
    client.execute(f"studio.run({run.id!r}).resume()")
    run.wait(timeout=300)
    assert run.read()[0].from_step == good
    wait_for(lambda: told(run).count("machine_gone") == 2, "the proof that it is gone", timeout_s=60)
    drill.check_all_is_well(run, machines=2)


@pytest.mark.parametrize("size", ["1m", "6m"], ids=["not even our package", "the package, but not the rest"])
def test_what_does_not_fit_from_the_first_is_not_sent_for_ever(
    drill: Drill, small_disks: list[str], size: str, tiny_model: Path, tmp_path: Path
) -> None:
    """Sending fails for want of room: the run ends with that reason, its machine is ended, and no second one is bought for the same end."""
    small_disks.append(size)
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "more.bin").write_bytes(bytes(8 * 2**20))  # the whole folder is sent
    run = drill.launch(drill.client(), max_steps=12, save_steps=4, model=str(model))
    began = Clock()
    wait_for(lambda: run.state == "failed", "the run's end", timeout_s=300)
    print(f"failed {began.s:.1f} s after the launch")
    assert run.failure
    assert run.failure.code == "disk_full"
    wait_for(lambda: "machine_gone" in told(run), "the proof that it is gone", timeout_s=60)
    assert drill.made() == 1
    assert not drill.left()
