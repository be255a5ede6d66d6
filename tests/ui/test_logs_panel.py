"""The Logs panel in JupyterLab, watched while another process writes the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.conftest import wait_for
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

BUSY = "import pathlib\nwhile not pathlib.Path({!r}).exists():\n    pass"
SHOW = "from peft_studio import Studio\nstudio = Studio(home={!r})\nstudio.panel('logs')"


@pytest.fixture
def open_notebook(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """Open a new notebook with these cells. When the test is over its page has seen no error, and its kernel is shut down."""
    opened: list[Notebook] = []

    def open_(*cells: str) -> Notebook:
        opened.append(lab.open(list(cells), name=f"{request.node.name}.ipynb"))
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.close()
        assert notebook.errors == []


def test_lines_arrive_while_a_cell_spins_and_are_filtered(
    open_notebook: Callable[..., Notebook], start_run: Callable[..., Path], tmp_path: Path
) -> None:
    """Live lines, hostile ones as text; text and level hide and count; following ends where the reader scrolls up."""
    hostile, gate = "<img src=x onerror='window.stolen=1'>", tmp_path / "gate"
    start_run("the first line", hostile)
    notebook = open_notebook(SHOW.format(str(tmp_path)), BUSY.format(str(gate)))
    notebook.run(0)
    panel = notebook.panel()
    log = panel.get_by_role("log")
    expect(log.get_by_text(hostile, exact=True)).to_have_count(1)
    notebook.start(1)
    notebook.wait_for_busy(1)
    before = log.locator("li").count()
    wait_for(lambda: log.locator("li").count() > before + 3, "lines while the cell spins", timeout_s=60)
    assert notebook.page.evaluate("() => window.stolen") is None

    panel.get_by_role("searchbox", name="Search the log").fill("FIRST line")
    expect(log.locator("li")).to_have_count(1)
    expect(panel.get_by_text("hidden by the filter")).to_be_visible()
    panel.get_by_role("button", name="Show code").click()
    expect(panel.get_by_label("The same in Python")).to_contain_text("contains='FIRST line'")
    panel.get_by_role("button", name="Show all").click()
    expect(log.locator("li").nth(3)).to_be_visible()
    panel.get_by_label("Warning").check()
    expect(log.locator("li")).to_have_count(1)
    expect(log.locator("li .ps-level")).to_have_text("warn")
    notebook.wait_for_busy(1)  # all of that happened while the cell was running

    panel.get_by_label("Debug").check()
    expect(panel.get_by_label("Follow")).to_be_checked()
    wait_for(lambda: log.evaluate("one => one.scrollHeight > one.clientHeight + 100"), "a log to scroll", timeout_s=60)
    log.evaluate("one => { one.scrollTop = 0; }")
    expect(panel.get_by_label("Follow")).not_to_be_checked()
    gate.touch()
    notebook.wait_for_cell(1)
