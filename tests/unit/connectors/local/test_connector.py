"""Runs on this machine: how the agent is found, and what it is started with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peft_studio.connectors.local.connector import LocalCompute, find_agent
from peft_studio.core.ports import Compute
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.system import try_lock
from tests.unit.core.runs.conftest import build_spec


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunStore(tmp_path).create(build_spec())


def test_it_is_a_compute() -> None:
    """The port's members are all there."""
    compute: Compute = LocalCompute()
    assert compute.name == "local"


def test_an_address_counts_only_while_its_agent_lives(folder: RunFolder) -> None:
    """What a killed agent left behind is no address."""
    assert find_agent(folder) is None
    folder.agent.write_text(json.dumps({"host": "127.0.0.1", "port": 5, "token": "t"}))
    assert find_agent(folder) is None
    with folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock)
        found = find_agent(folder)
        assert found is not None
        assert (found.host, found.port, found.token) == ("127.0.0.1", 5, "t")
        folder.agent.unlink()
        assert find_agent(folder) is None
    assert find_agent(folder) is None


def test_a_file_of_the_run_is_copied(folder: RunFolder, tmp_path: Path) -> None:
    """It is here already; no agent is needed."""
    target = LocalCompute().fetch_artifact(folder, "spec.json", tmp_path / "deep" / "copy.json")
    assert target.read_bytes() == folder.spec.read_bytes()
