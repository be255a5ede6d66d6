"""What benchmarks in a real browser share: JupyterLab on a folder of its own, and this checkout before what is installed."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.ui.lab import Lab, Notebook, find_browser, open_lab, serve  # noqa: E402


@contextmanager
def lab() -> Iterator[Lab]:
    """A server and a browser that end with the block."""
    if find_browser() is None:
        raise SystemExit("This needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, open_lab(Path(name)) as opened:
        yield opened


def execute(notebook: Notebook, code: str) -> None:
    """Run Python in a notebook's kernel, beside its cells, and wait until it has run."""
    status = notebook.page.evaluate(
        "async code => (await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({ code }).done).content.status",
        code,
    )
    if status != "ok":
        raise SystemExit(f"This cell failed:\n{code}")


def quantiles(values: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=20)[-1]


__all__ = ["ROOT", "Lab", "Notebook", "execute", "lab", "quantiles", "serve"]
