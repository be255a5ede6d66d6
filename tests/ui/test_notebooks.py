"""The notebooks that we ship: each runs from top to bottom, says what it said when it was saved, and carries no widget."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import end_processes_of

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_says_what_it_said(notebook: Path, tmp_path: Path) -> None:
    """nbval, strict: every cell's output is as saved, but for those marked as different each time."""
    home = tmp_path / "my home"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"--rootdir={notebook.parent}",
    ]
    try:
        done = subprocess.run(
            [*command, "--nbval-cell-timeout=900", str(notebook)], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PEFT_STUDIO_HOME": str(home)},
        )  # fmt: skip
    finally:
        end_processes_of(home)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_saved_without_widgets(notebook: Path) -> None:
    """Opened without its kernel it shows pictures, not "model not found", and it names no place on anybody's machine."""
    text = notebook.read_text(encoding="utf-8")

    assert "widgets" not in nbformat.reads(text, as_version=4).metadata
    assert "widget-view+json" not in text
    assert str(Path.home()) not in text
    assert "/work/" not in text
    assert "/tmp/" not in text


def test_there_are_notebooks() -> None:
    """A glob that finds nothing tests nothing."""
    assert [path.name for path in NOTEBOOKS][:1] == ["00-quickstart.ipynb"]
