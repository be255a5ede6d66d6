"""The picture that a notebook keeps when nobody has it open in a browser: a real kernel, run by nbclient."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbclient")
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[3]
BEGIN = """
import sys; sys.path.insert(0, {root!r})
from IPython.display import display
from pathlib import Path
from peft_studio import Studio
from peft_studio.widgets._refresh import REFRESHER
from tests.ui.write_run import RunWriter

studio = Studio(home={home!r})
writer = RunWriter(Path({home!r}) / "runs" / "r-20261122-203411-9f31ac")
writer.begin()
panel = studio.panel("run", "r-20261122-203411-9f31ac")
REFRESHER.forget(panel._feeds[""])  # slower than the cells that follow
display(panel)
"""


def test_a_picture_is_that_of_the_end(tmp_path: Path) -> None:
    """A run that ends while a cell runs stands as ended in the picture of an earlier cell, before the next one begins."""
    cells = [BEGIN.format(root=str(ROOT), home=str(tmp_path)), "writer.train(3)", "writer.end('completed')", "1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    seen = []
    client.on_cell_executed = lambda **_: seen.append(notebook.cells[0].outputs[0]["data"]["text/html"])
    client.execute()

    assert ["Completed · orders-to-json" in html for html in seen] == [False, False, True, True]
