"""Runs whose agent is real and whose trainer is a stand-in (see ``stand_in.py``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.local.connector import LocalCompute
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.run import Run
from peft_studio.core.system import detached
from tests.conftest import end_processes_of
from tests.unit.core.runs.conftest import build_spec
from tests.unit.runner.agent.stand_in import MODULE

ROOT = Path(__file__).parents[4]


class StandInCompute(LocalCompute):
    """This machine, with the stand-in for a trainer."""

    def __init__(self) -> None:
        self.agents: list[subprocess.Popen[bytes]] = []

    def submit_job(self, folder: RunFolder, *, from_step: int = 0) -> None:
        command = [sys.executable, "-m", MODULE, "agent", str(folder.path), "--from-step", str(from_step)]
        with (folder.path / "agent.log").open("ab") as log:
            self.agents.append(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ, **detached()
                )
            )


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "home")


@pytest.fixture
def compute(store: RunStore) -> Iterator[StandInCompute]:
    made = StandInCompute()
    yield made
    end_processes_of(store.home)
    for agent in made.agents:
        agent.wait(timeout=60)


@pytest.fixture
def launch(store: RunStore, compute: StandInCompute) -> Callable[..., Run]:
    """Launch a run whose stand-in follows this plan."""

    def _launch(**plan: Any) -> Run:
        folder = store.create(build_spec(name=json.dumps(plan)))
        compute.submit_job(folder)
        return Run(folder, store=store, compute=compute, show=lambda run: None)

    return _launch
