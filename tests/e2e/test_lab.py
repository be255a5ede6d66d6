"""``peft-studio lab`` as a process: it serves, and takes JupyterLab with it when it is ended."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_for
from tests.ui.lab import find_port


@pytest.mark.slow
def test_ending_it_ends_jupyterlab(tmp_path: Path) -> None:
    """Also by the signal of a service manager; a server that nobody sees would go on serving."""
    port = find_port()
    own = {
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "w"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "s"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "r"),
    }
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    command = [
        str(Path(sys.executable).with_name("peft-studio")),
        "lab",
        "--home",
        str(tmp_path / "home"),
        "--",
        *options,
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: answers(port), "JupyterLab's answer", timeout_s=90)
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("jupyterlab" in " ".join(child.cmdline()) for child in children)
        process.terminate()
        process.wait(60)
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
    finally:
        process.kill()


def answers(port: int) -> bool:
    """Whether the server is there; its login page does."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
    except OSError:
        return False
    return True
