"""The Runs panel in JupyterLab, used through a real browser on a home of runs in every state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import EventLogWriter
from tests.conftest import wait_for
from tests.ui.lab import Lab, Notebook
from tests.ui.write_home import write_home

pytestmark = pytest.mark.slow

STUDIO = "from peft_studio import Studio\nstudio = Studio(home={!r})\n"
WIDTHS = (280, 320, 480, 640, 800, 1400)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Seven runs."""
    return write_home(tmp_path / "home", now=time.time())


@pytest.fixture
def open_notebook(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """Open a new notebook with these cells. When the test is over its page has seen no error, and its kernel is shut down."""
    opened: list[Notebook] = []

    def open_(*cells: str, **page: object) -> Notebook:
        opened.append(lab.open(list(cells), name=f"{request.node.name}.ipynb", **page))
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.close()
        assert notebook.errors == []


def names(panel: Locator) -> Locator:
    """The names listed, in order."""
    return panel.locator(".ps-grid tbody th .ps-open")


def test_filter_sort_and_open_in_the_studio(open_notebook: Callable[..., Notebook], home: Path) -> None:
    """In the shell: the list narrows and turns, and a click on a name shows that run."""
    notebook = open_notebook(STUDIO.format(str(home)) + "studio.session.choose(panel='runs')\nstudio.show()")
    notebook.run(0)
    panel = notebook.page.locator(".jp-Notebook section.ps section.ps")
    expect(names(panel)).to_have_count(7)
    expect(panel.get_by_role("grid")).to_have_attribute("aria-rowcount", "8")
    expect(panel.locator(".ps-grid .ps-spark")).to_have_count(6)

    panel.get_by_role("searchbox").fill("assistant")
    expect(names(panel)).to_have_count(4)
    panel.get_by_label("State", exact=True).select_option("completed")
    expect(names(panel)).to_have_text(["sql-assistant-v4", "sql-assistant-v3", "sql-assistant-v2"])
    head = panel.get_by_role("columnheader", name="Run", exact=True)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(names(panel)).to_have_text(["sql-assistant-v2", "sql-assistant-v3", "sql-assistant-v4"])
    panel.get_by_role("button", name="Show code").click()
    expect(panel.get_by_label("The same in Python")).to_contain_text(
        "studio.runs(status='completed', text='assistant')"
    )
    panel.get_by_role("button", name="Clear", exact=True).click()
    expect(names(panel)).to_have_count(7)

    names(panel).filter(has_text="sql-assistant-v3").click()
    expect(notebook.page.get_by_role("tab", name="Run", exact=True)).to_have_attribute("aria-selected", "true")
    expect(notebook.page.get_by_role("heading", name="sql-assistant-v3")).to_be_visible()


PICTURE = "canvas => canvas.toDataURL()"
VIOLET, OLIVE = (84, 57, 127), (134, 105, 10)  # what the first two other runs wear


def test_other_runs_over_the_losses_of_one(open_notebook: Callable[..., Notebook], home: Path) -> None:
    """Chosen by name, drawn along every axis, zoomed and whole; each leaves by its button, and the others keep their colours.

    A warning's change is tried by its button.
    """
    run_id = "r-20261122-203412-000002"
    change = ev.Warned(code="loss_flat", step=150, message="Flat.", hint="Higher.", changes={"learning_rate": 2e-4 * 3})
    EventLogWriter(home / "runs" / run_id / "events.jsonl").append(change)
    show = f"studio.panel('run', {run_id!r})"
    notebook = open_notebook(STUDIO.format(str(home)) + show, "print(studio.session.now.overlaid)")
    notebook.run(0)
    panel = notebook.panel()
    canvas = panel.locator(".ps-chart canvas").first
    panel.get_by_role("button", name="Overlay").click()
    offered = panel.get_by_role("group", name="Runs to lay over this one")
    for name in ("sql-assistant-v4", "sql-assistant-v3"):
        offered.get_by_label(name).check()
    legend = panel.get_by_role("group", name="Other runs")
    expect(legend.locator("bdi")).to_have_text(["sql-assistant-v4", "sql-assistant-v3"])
    expect(panel.get_by_role("img", name="sql-assistant-v3 ends at 0.")).to_be_visible()
    for axis in ("Tokens", "Time", "Step"):
        panel.get_by_role("radio", name=axis, exact=True).check()
        canvas.scroll_into_view_if_needed()  # out of sight it is not drawn
        wait_for(lambda: notebook.count_pixels(canvas, VIOLET) > 0, f"the other run by {axis}")

    whole = canvas.evaluate(PICTURE)
    box = panel.locator(".ps-chart").first.bounding_box() or {}
    mouse, (left, top) = notebook.page.mouse, (box["x"], box["y"] + 60)
    mouse.move(left + 200, top)
    mouse.down()
    mouse.move(left + 400, top, steps=3)
    mouse.up()
    wait_for(lambda: canvas.evaluate(PICTURE) != whole, "the part that was dragged over")
    mouse.dblclick(left + 300, top)
    wait_for(lambda: canvas.evaluate(PICTURE) == whole, "the whole again")

    panel.get_by_role("button", name="Remove sql-assistant-v4").click()
    expect(legend.locator("bdi")).to_have_text(["sql-assistant-v3"])
    wait_for(lambda: notebook.count_pixels(canvas, OLIVE) > 0, "the one that stays, as it was")
    assert notebook.count_pixels(canvas, VIOLET) == 0
    notebook.run(1)
    expect(notebook.page.locator(".jp-OutputArea-output pre")).to_have_text("('r-20261122-203412-000001',)")

    panel.get_by_role("button", name="Try learning rate 6e-4").click()  # its data is gone, so the run does not start
    expect(panel.get_by_role("alert")).to_contain_text("There is no file or folder orders.jsonl")


DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def test_compare_and_delete_by_keyboard(open_notebook: Callable[..., Notebook], home: Path) -> None:
    """Arrows and Space select two, they are compared; one is deleted through the dialog, and the focus stays in the list."""
    notebook = open_notebook(STUDIO.format(str(home)) + "studio.panel('runs')", "1 + 1")
    notebook.run(0)
    panel, keys = notebook.panel(), notebook.page.keyboard
    expect(names(panel)).to_have_count(7)
    panel.locator('.ps-grid tr[tabindex="0"]').focus()
    for key in ("ArrowDown", " ", "ArrowDown", " "):
        keys.press(key)
        notebook.page.evaluate(DRAWN)  # the focus moves with the next picture, as it does for a hand
    expect(panel.locator('tr[aria-selected="true"]')).to_have_count(2)
    panel.get_by_role("button", name="Compare", exact=True).press("Enter")
    table = panel.get_by_role("region", name="Side by side")
    expect(table.get_by_role("columnheader")).to_have_text(["Measure", "sql-assistant-v3", "sql-assistant-v2"])
    expect(table.get_by_role("row", name="rank")).to_contain_text("32")
    lines = panel.locator(".ps-overlay path[stroke-width]")
    expect(lines).to_have_count(2)
    by_step = lines.first.get_attribute("d")
    panel.get_by_role("radio", name="Time", exact=True).check()
    expect(lines.first).not_to_have_attribute("d", str(by_step))
    panel.get_by_role("radio", name="Table", exact=True).check()
    losses = panel.get_by_role("region", name="Losses").get_by_role("row")
    expect(losses.first.get_by_role("columnheader")).to_have_text(["Time", "sql-assistant-v3", "sql-assistant-v2"])
    expect(losses.last).to_contain_text("At the end")
    expect(lines).to_have_count(0)

    panel.get_by_label("Select sql-assistant-v3").uncheck()
    panel.get_by_role("button", name="Delete…").press("Enter")
    dialog = panel.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Delete sql-assistant-v2?")
    expect(dialog).to_contain_text("log and metrics")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    keys.press("Escape")
    expect(dialog).to_have_count(0)
    expect(names(panel)).to_have_count(7)
    keys.press("Enter")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(names(panel)).to_have_count(6)
    expect(names(panel).filter(has_text="sql-assistant-v2")).to_have_count(0)

    assert len(list((home / "runs").iterdir())) == 6
    expect(panel.locator(".ps-grid tbody tr:focus")).to_have_count(1)
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == 2


def test_no_width_overflows(open_notebook: Callable[..., Notebook], home: Path) -> None:
    """From a narrow sidebar to a wide cell, with a larger font and a long name, nothing sticks out and no word in a button is cut."""
    notebook = open_notebook(
        STUDIO.format(str(home)) + "studio.panel('runs')", viewport={"width": 1700, "height": 1200}
    )
    notebook.run(0)
    panel = notebook.panel()
    expect(names(panel)).to_have_count(7)
    panel.get_by_label("Select sql-assistant-v3").check()
    for size in ("13px", "16px"):
        for width in WIDTHS:
            notebook.resize(panel, width=width, font=size)
            out = notebook.sticking_out(panel)
            assert out == [], f"at {width} px and {size}: {out}"
