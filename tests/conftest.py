"""What tests of runs share: a tiny model, rows for it, and studios whose processes are gone when the test is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from peft_studio.core.system import SHARING
from tests.speed import write_speed
from tests.tiny import write_model, write_rows

# What a test computes in its own process, too, leaves the cores to the others while it waits. Set before torch is loaded.
os.environ.update({**SHARING, **os.environ})
# No test, nor any process of one, writes into the keystore of whoever runs it; those of the keystore bring their own.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

BROWSER = "browser"
WITHOUT_BROWSER = {"tests/ui/test_frontend.py", "tests/ui/test_notebooks.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser come first: together they take longest."""
    items.sort(key=lambda item: _worker_group(item.nodeid) != BROWSER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With two workers one has all that is done in a browser, and its one JupyterLab; other tests stay together by file."""
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = _worker_group
    return scheduler


def _worker_group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return BROWSER if file.startswith("tests/ui/") and file not in WITHOUT_BROWSER else file


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random model that trains in seconds; see ``tests/tiny.py``."""
    return write_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="session")
def tiny_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL file of 44 prompts and completions: eleven micro-batches of 4, which no accumulation divides."""
    return write_rows(tmp_path_factory.mktemp("rows") / "orders.jsonl", 44)


@pytest.fixture(scope="session")
def embedded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has the embedded model, which one worker converts: another that asks waits for it. Only its models are to be used."""
    folder = tmp_path_factory.getbasetemp()
    home = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "embedded"
    Studio(home=home).prepare("smollm2-135m")
    return home


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio in a home of its own, with a space in its name. Agents and trainers of that home are ended after the test."""
    home = write_speed(tmp_path / "my home")
    yield Studio(home=home)
    end_processes_of(home)


@pytest.fixture
def make_spec(studio: Studio, tiny_model: Path, tiny_rows: Path) -> Callable[..., Any]:
    """Build a spec for the tiny model: 6 steps, a checkpoint every 2, dropout and shuffling on."""

    def _make(**fields: Any) -> Any:
        known = {
            "model": str(tiny_model), "data": str(tiny_rows), "method": "lora", "rank": 4, "max_steps": 6, "save_steps": 2,
            "batch_size": 4, "gradient_accumulation_steps": 2, "max_length": 128, "learning_rate": 3e-3, "precision": "fp32",
        }  # fmt: skip
        return studio.spec(**{**known, **fields})

    return _make


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process whose command line names this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(home) in part for part in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def end_processes_of(home: Path) -> None:
    """End what still works for this home."""
    left = processes_of(home)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=10)


def wait_for(condition: Callable[[], Any], what: str, *, timeout_s: float = 120.0) -> Any:
    """The first true answer of ``condition``; fails the test when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.02)
    return answer
