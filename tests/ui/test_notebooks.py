"""The notebooks that we ship: each runs from top to bottom, says what it said when it was saved, and carries no widget."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import end_processes_of

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
LARGEST_BYTES = 300_000  # a page that opens at once, also on a code host
NAMES = [
    "00-quickstart",
    "01-data-doctor",
    "02-methods-compared",
    "03-resume-after-a-crash",
    "04-chat-and-hot-swap",
    "05-studio-in-one-cell",
]
LONG = {"02-methods-compared", "03-resume-after-a-crash", "04-chat-and-hot-swap"}  # minutes each: with `make stress`


@pytest.mark.slow
@pytest.mark.parametrize(
    "notebook",
    [pytest.param(path, marks=pytest.mark.stress) if path.stem in LONG else path for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_notebook_says_what_it_said(notebook: Path, embedded_home: Path, tmp_path: Path) -> None:
    """nbval, strict: every cell's output is as saved, but for those marked as different each time."""
    home, folder = tmp_path / "my home", tmp_path / "my notebooks"
    home.mkdir()
    folder.mkdir()
    (home / "models").symlink_to(embedded_home / "models")
    copy = Path(shutil.copy(notebook, folder))  # what it writes stands beside it
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"--rootdir={folder}",
    ]
    try:
        done = subprocess.run(
            [*command, "--nbval-cell-timeout=900", str(copy)], cwd=tmp_path, capture_output=True, text=True, check=False,
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
    assert len(text) < LARGEST_BYTES


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_saved_as_a_page_to_read(notebook: Path) -> None:
    """It begins with what it is about, ends with what comes next, and every cell has run without an error, in order."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]

    assert cells[0].source.startswith("# ")
    assert "**Next:**" in cells[-1].source
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [output for cell in code for output in cell.outputs if output.output_type == "error"] == []
    pictures = "".join(output.get("data", {}).get("text/html", "") for cell in code for output in cell.outputs)
    assert not re.search(r">(Queued|Preparing|Training|Checking) ·", pictures)  # of the end, not of the beginning


def test_all_notebooks_are_there() -> None:
    """A glob that finds nothing tests nothing."""
    assert [path.stem for path in NOTEBOOKS] == NAMES
