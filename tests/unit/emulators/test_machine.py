"""An emulated machine is a real process: of its own folder and environment, and gone when it is ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_for
from tests.emulators.machine import Machine, Machines

LISTENS = "import http.server,os; http.server.HTTPServer(('127.0.0.1', int(os.environ['PEFT_STUDIO_PORT_8080'])), http.server.SimpleHTTPRequestHandler).serve_forever()"


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with Machines(tmp_path) as made:
        yield made


def test_it_has_what_it_was_given_and_nothing_of_ours(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its home is its folder, its environment the given one; what we hold it does not see."""
    monkeypatch.setenv("OUR_KEY", "secret")
    machine = machines.start("one", ["bash", "-c", 'echo "$HOME|$PWD|$TOKEN|$OUR_KEY|"; exit 3'], env={"TOKEN": "abc"})
    wait_for(lambda: machine.exit_code is not None and machine.lines, "its end")
    assert machine.exit_code == 3
    assert machine.text == f"{machine.folder}|{machine.folder}|abc||\n"


def test_its_lines_have_times_that_tell_them_apart(machines: Machines) -> None:
    """Both streams are kept, each line later than the one before."""
    machine = machines.start("one", ["bash", "-c", "for i in $(seq 200); do echo $i; done; echo last >&2"])
    wait_for(lambda: len(machine.lines) == 201, "201 lines")
    times = [line.at for line in machine.lines]
    assert times == sorted(set(times))
    assert machine.lines[-1].text == "last"


def test_two_machines_listen_on_the_same_port(machines: Machines) -> None:
    """Each has a port of its own behind the one that was asked for."""
    pair = [machines.start(name, ["python3", "-c", LISTENS], ports=(8080,)) for name in ("one", "two")]
    for machine in pair:
        wait_for(lambda machine=machine: machine.answers(8080), "its port")
    machines.end("one")
    assert (pair[0].answers(8080), pair[1].answers(8080)) == (False, True)


def test_nothing_of_it_outlives_its_end(machines: Machines) -> None:
    """Not even what left its process group and its session, and a second end is nothing."""
    machine = machines.start("one", ["bash", "-c", "setsid sleep 300 & sleep 300 & echo ready; trap '' TERM; wait"])
    wait_for(lambda: len(machine.processes) == 3 and machine.lines, "three processes")
    pids = [process.pid for process in machine.processes]
    machine.end()
    machine.end()
    assert not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


def test_one_that_hangs_goes_on_where_it_stood(machines: Machines) -> None:
    """Frozen, it does nothing and is there; and it can be ended so."""
    machine: Machine = machines.start("one", ["bash", "-c", "while true; do echo tick; sleep 0.01; done"])
    wait_for(lambda: len(machine.lines) > 3, "ticks")
    machine.freeze()
    wait_for(lambda: psutil.Process(machine.pid).status() == psutil.STATUS_STOPPED, "its stop")
    machine.thaw()
    seen = len(machine.lines)
    wait_for(lambda: len(machine.lines) > seen + 3, "more ticks")
    machine.freeze()
    machine.end()
    assert machine.exit_code == -9
    assert os.path.isdir(machine.folder)
