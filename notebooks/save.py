"""Runs notebooks from top to bottom and saves what a reader should see: ``python notebooks/save.py 00-quickstart.ipynb …``.

Widget models are left out, and so are references to them: a notebook that is opened without its kernel then shows the panels' pictures
instead of "model not found", and carries no copy of the panels' code. Each runs in an empty folder of its own, as it does in the tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def main(path: Path) -> None:
    """Execute and save one notebook in place."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=900, kernel_name="python3", store_widget_state=False, resources=place
        ).execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which are news in every diff
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET_VIEW, None)
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)
    nbformat.write(notebook, path)


def join_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Text that came in pieces as one: an answer that was streamed is a line to read, not forty outputs."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


if __name__ == "__main__":
    for name in sys.argv[1:]:
        main(Path(name))
