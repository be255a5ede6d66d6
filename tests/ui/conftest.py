"""One JupyterLab for all browser tests, and runs that live in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hatch_build
from tests.ui.lab import ROOT, Lab, find_browser, open_lab


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a folder with a space in its name.

    It goes with the last browser test of its worker: while Playwright lives, its event loop counts as running in this thread,
    and no test after it could call ``asyncio.run``.
    """
    if find_browser() is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    hatch_build.build_frontend(ROOT)  # what is tested is what is written
    folder = tmp_path_factory.mktemp("lab") / "my notebooks"
    folder.mkdir()
    with open_lab(folder) as opened:
        yield opened


@pytest.fixture
def start_run(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Start a process that writes a run as an agent would; gives the run's folder. What still goes is ended after the test."""
    processes = []

    def start(*says: str, rows_per_s: float = 20.0) -> Path:
        folder = tmp_path / "runs" / f"r-20261122-2034{len(processes):02}-9f31ac"
        command = [
            sys.executable,
            str(Path(__file__).with_name("write_run.py")),
            str(folder),
            f"--rows-per-s={rows_per_s}",
        ]
        processes.append(subprocess.Popen([*command, *(f"--say={line}" for line in says)]))
        return folder

    yield start
    for process in processes:
        process.kill()
        process.wait(10)
