"""The import contracts hold, and each is shown to fail when it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# contract id → (file to break it in, the line that breaks it)
BREAKS = {
    "layers": ("peft_studio/connectors/local/connector.py", "import peft_studio._studio"),
    "core-layers": ("peft_studio/core/spec/data_ref.py", "import peft_studio.core.runs.events"),
    "runner-is-started": ("peft_studio/_studio.py", "import peft_studio.runner.agent.slots"),
    "torch-in-trainer": ("peft_studio/runner/agent/vitals.py", "import torch"),
    "core-pure": ("peft_studio/core/runs/store.py", "import httpx"),
    "one-http-door": ("peft_studio/connectors/local/connector.py", "import httpx"),
    "connectors-apart": ("peft_studio/connectors/other/__init__.py", "import peft_studio.connectors.local.connector"),
}


def lint(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """Run the linter on the package in ``folder``."""
    options = [option for contract in contracts for option in ("--contract", contract)]
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", *options]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder), "PATH": ""}
    )


def test_every_contract_has_a_break() -> None:
    """A contract that nobody has seen fail proves nothing."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

    assert {contract["id"] for contract in contracts} == set(BREAKS)


@pytest.mark.parametrize("contract", BREAKS)
def test_contract_fails_when_broken(contract: str, tmp_path: Path) -> None:
    """One forbidden import is enough to make its contract fail, and its contract holds without."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    skip = shutil.ignore_patterns("node_modules", "__pycache__", "static")
    shutil.copytree(ROOT / "peft_studio", tmp_path / "peft_studio", ignore=skip)
    file, line = BREAKS[contract]
    before = lint(tmp_path, contract)
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n\ndef broken() -> None:\n    {line}  # noqa\n")

    after = lint(tmp_path, contract)

    assert before.returncode == 0, before.stdout
    assert after.returncode == 1, after.stdout
    assert "BROKEN" in after.stdout
