"""Runs a notebook from top to bottom and saves what a reader should see: ``python notebooks/save.py 00-quickstart.ipynb``.

Widget models are left out, and so are references to them: a notebook that is opened without its kernel then shows the panels' pictures
instead of "model not found", and carries no copy of the panels' code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def main(path: Path) -> None:
    """Execute and save one notebook in place."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, kernel_name="python3", store_widget_state=False).execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which are news in every diff
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
