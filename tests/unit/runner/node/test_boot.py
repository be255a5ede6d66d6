"""The boot script run in other ways than the usual one: secrets from a file, a door that SSH alone reaches, a script that unfolds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.boot import BootPlan, build_boot, fold
from tests.conftest import wait_for
from tests.emulators.machine import Machine
from tests.rented import PORT, Provider, rent
from tests.unit.core.runs.conftest import build_spec

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that nobody starts."""
    return RunStore(tmp_path / "home").create(build_spec())


def test_secrets_come_in_a_file(tmp_path: Path, provider: Provider, folder: RunFolder) -> None:
    """As at Lambda: the file is read once and gone, no process has the token in its environment, and the door stands on loopback."""
    keys = tmp_path / "pod" / "keys"
    rented = rent(
        tmp_path / "pod", provider, folder, by_file=True, door="tunnel", secrets_file=str(keys), self_end=None
    )
    rented.until_it_answers()
    assert rented.client.status().ends_itself is False
    assert not keys.exists()
    shell = psutil.Process(rented.machine.pid)
    assert rented.secrets[0].encode() not in rented.in_sight() + str(shell.environ()).encode()
    doors = [
        connection
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.laddr.port == rented.machine.ports[PORT]
    ]
    assert {door.laddr.ip for door in doors} == {"127.0.0.1"}


def test_a_machine_that_starts_anew_counts_its_phases_anew(
    tmp_path: Path, provider: Provider, folder: RunFolder
) -> None:
    """Its uptime begins at 0 then; what it had entered before cannot be counted with it."""
    base = tmp_path / "pod" / "peft-studio"
    base.mkdir(parents=True)
    (base / "phases").write_text("999999999.0 ready\n")
    rented = rent(tmp_path / "pod", provider, folder)
    rented.until_it_answers()
    assert [phase.name for phase in rented.client.status().phases] == ["booting", "waiting"]


def test_a_folded_script_runs(tmp_path: Path) -> None:
    """From a command of 160 characters and its environment: brakes and door are there."""
    plan = BootPlan(run="r-1", port=PORT, door="tunnel", lifetime_s=300)
    command, environment = fold(build_boot(plan))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "shutdown").symlink_to("/bin/true")
    path = os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"]))
    machine = Machine(
        tmp_path / "pod",
        ["bash", "-c", command],
        env={**environment, "PS_TOKEN": "t" * 43, "PATH": path},
        ports=(PORT,),
    )
    try:
        wait_for(lambda: machine.answers(PORT), "the door")
        assert any("peft_studio.runner.node.lease" in process.cmdline() for process in machine.processes)
    finally:
        machine.end()


def test_what_runs_there_is_what_was_sent(tmp_path: Path, provider: Provider, folder: RunFolder) -> None:
    """Not the PEFT Studio that the machine may have, as this one has."""
    rented = rent(tmp_path / "pod", provider, folder)
    code = "import peft_studio.runner.node.door as door; print(door.__file__)"
    environment = {"PYTHONPATH": str(rented.base / "boot"), "PATH": os.environ["PATH"]}
    rented.until_it_answers()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(rented.base)
