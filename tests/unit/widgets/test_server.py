"""The Jupyter server's list of runs, asked of a real server that was enabled by the file that the wheel installs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio.widgets._server import list_runs
from tests.conftest import wait_for
from tests.ui.lab import find_port
from tests.ui.write_home import write_run

ROOT = Path(__file__).parents[3]
Ask = Callable[..., tuple[int, Any]]


def test_a_home_that_nobody_has_used(tmp_path: Path) -> None:
    """There are no runs, and looking makes nothing."""
    assert list_runs(tmp_path / "home") == {"home": str(tmp_path / "home"), "runs": []}
    assert not (tmp_path / "home").exists()


def test_newest_first_with_state_and_progress(tmp_path: Path) -> None:
    """Ended runs and one whose agent has died; what is hostile in a name is text."""
    now = time.time()
    write_run(tmp_path, 1, "older", "completed", at=now - 7200)
    write_run(tmp_path, 2, "<b>new\u202e</b>", "lost", at=now - 3600, steps=90)
    new, older = list_runs(tmp_path)["runs"]

    assert (new["name"], new["state"], new["step"], new["active"]) == ("<b>new</b>", "lost", 90, False)
    assert (older["name"], older["state"]) == ("older", "completed")
    assert abs(older["heard_at"] - (now - 7200)) < 600


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Ask a Jupyter server with a token; gives status and JSON."""
    enabled = tmp_path / "config" / "jupyter_server_config.d"
    enabled.mkdir(parents=True)
    shutil.copy(ROOT / "jupyterlab_ext" / "server.json", enabled / "peft-studio.json")
    port = find_port()
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_DATA_DIR": "data", "PEFT_STUDIO_HOME": "home"}  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(tmp_path / at) for name, at in folders.items()}}
    command = [
        sys.executable, "-m", "jupyter_server", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=secret", "--ServerApp.base_url=/user/me/",
    ]  # fmt: skip
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)

    def ask(path: str = "peft-studio/runs", *, token: str = "", method: str = "GET") -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/user/me/{path}", method=method)
        if token:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            return 0, None

    try:
        wait_for(lambda: ask("api/status", token="secret")[0] == 200, "the server", timeout_s=60)
        yield ask
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.mark.slow
def test_it_answers_who_may_ask_and_changes_nothing(ask: Ask, tmp_path: Path) -> None:
    """Jupyter's own login stands before it; no other verb is known."""
    write_run(tmp_path / "home", 1, "mine", "completed", at=time.time())
    status, told = ask(token="secret")

    assert status == 200
    assert [(run["name"], run["state"]) for run in told["runs"]] == [("mine", "completed")]
    assert ask()[0] == 403
    assert ask(token="guessed")[0] == 403
    assert {ask(token="secret", method=verb)[0] for verb in ("POST", "PUT", "PATCH", "DELETE")} == {405}
