"""The browser side by itself: its types, and its units on Node. Needs what `python hatch_build.py` installs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[2]
FRONTEND = ROOT / hatch_build.FRONTEND
MOST_BYTES = {
    "run": 40_000,
    "connect": 20_000,
    "models": 20_000,
    "publish": 20_000,
    "spend": 17_000,
    "compute": 20_000,
}  # gzipped; the module travels with every instance of the panel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    hatch_build.build_frontend(ROOT)
    if not (FRONTEND / "node_modules").is_dir():
        hatch_build.install(FRONTEND)


@pytest.mark.parametrize("script", ["check", "test"])
def test_script_passes(script: str) -> None:
    """TypeScript in strict mode, and the units."""
    done = subprocess.run(
        [hatch_build.find_npm(), "run", "--silent", script],
        cwd=FRONTEND, env=hatch_build.node_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MOST_BYTES)
def test_the_panel_is_small(name: str) -> None:
    """Notebook and kernel carry it for every panel shown."""
    import gzip

    assert len(gzip.compress((ROOT / hatch_build.STATIC / f"{name}.js").read_bytes(), 9)) <= MOST_BYTES[name]


def test_no_file_names_a_registry() -> None:
    """The lock file must install from whatever registry a machine has."""
    lock = (FRONTEND / "package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in lock
    assert "registry." not in lock


def test_the_wheel_brings_the_extension_to_jupyterlab(tmp_path: Path) -> None:
    """JupyterLab finds it, enabled, below the prefix into which pip would unpack the wheel."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    data = next(tmp_path.glob("*.data")) / "data"
    prefix = data / "share" / "jupyter"
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        env={**os.environ, "JUPYTER_PATH": str(prefix)}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert re.search(r"peft-studio \S+ .*enabled.*OK", listed.stdout + listed.stderr)
    enabled = json.loads((data / "etc/jupyter/jupyter_server_config.d/peft-studio.json").read_text())
    assert enabled["ServerApp"]["jpserver_extensions"] == {"peft_studio.widgets._server": True}
    assert (prefix / "labextensions" / "peft-studio" / "schemas" / "peft-studio" / "plugin.json").is_file()
