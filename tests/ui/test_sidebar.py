"""The sidebar in JupyterLab, used through a real browser: it follows notebooks, kernels and reloads, and stops a real run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.conftest import end_processes_of, wait_for
from tests.ui.lab import Lab, Notebook
from tests.ui.write_home import write_run

pytestmark = pytest.mark.slow

STEPS = """
from peft_studio.widgets import Step, register
register(Step("second", "Second", "peft_studio.widgets.run:ChosenRunContent"))
register(Step("third", "Third", "peft_studio.widgets.run:ChosenRunContent"))
"""
SHOW = STEPS + "from peft_studio import studio\nstudio.show()"
# Errors of Notebook 7.6's page that are not ours: it lacks what some of its own plugins ask for.
NOTEBOOK_7_SAYS = ("reading 'schema'", "'filebrowser:open-path' not registered")
KILL = """
import os, signal
studio.session.choose = lambda **changes: os.kill(os.getpid(), signal.SIGKILL)
"""
BUSY = "import pathlib\nwhile not pathlib.Path({!r}).exists():\n    pass"


@pytest.fixture
def open_notebook(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """Open a notebook with these cells, and the sidebar. After the test its page has seen no error."""
    opened: list[Notebook] = []

    def open_(*cells: str) -> Notebook:
        opened.append(lab.open(list(cells), name=f"{request.node.name}.ipynb"))
        opened[-1].command("peft-studio:open")
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.close()
        assert notebook.errors == []


def sidebar_of(notebook: Notebook) -> Locator:
    return notebook.page.locator("#peft-studio-sidebar")


def cell_of(notebook: Notebook) -> Locator:
    """The studio in the notebook that is in front."""
    return notebook.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .ps-studio")


def expect_tab(where: Locator, title: str) -> None:
    expect(where.get_by_role("tab", name=title)).to_have_attribute("aria-selected", "true")


def test_cell_and_sidebar_show_one_studio(open_notebook: Callable[..., Notebook]) -> None:
    """A tab chosen in one is chosen in the other, both ways, also after the cell has been run again."""
    notebook = open_notebook(SHOW)
    side, cell = sidebar_of(notebook), cell_of(notebook)
    expect(side.get_by_role("button", name="Start here")).to_be_visible()
    for _ in range(2):
        notebook.run(0)
        side.get_by_role("tab", name="Second").click()
        expect_tab(cell, "Second")
        cell.get_by_role("tab", name="Third").click()
        expect_tab(side, "Third")
        expect(side.locator(".ps-studio")).to_have_count(1)


def test_the_studio_starts_from_the_sidebar_during_a_cell(
    open_notebook: Callable[..., Notebook], tmp_path: Path
) -> None:
    """Start here opens it while a cell spins, its tabs obey meanwhile, and no name of the notebook is bound."""
    gate = tmp_path / "gate"
    notebook = open_notebook(STEPS + BUSY.format(str(gate)), "print('studio' in globals())")
    side = sidebar_of(notebook)
    expect(side.get_by_role("button", name="Start here")).to_be_visible()
    notebook.start(0)
    notebook.wait_for_busy(0)
    side.get_by_role("button", name="Start here").click()
    side.get_by_role("tab", name="Second").click()
    expect_tab(side, "Second")
    expect(side.locator("[role=tabpanel] .ps-head")).to_be_visible()  # the kernel has sent the step
    notebook.wait_for_busy(0)
    gate.touch()
    notebook.wait_for_cell(0)
    notebook.run(1)

    expect(notebook.page.locator(".jp-OutputArea-output").last).to_have_text("False")


def test_the_sidebar_follows_the_notebook_in_front(open_notebook: Callable[..., Notebook], lab: Lab) -> None:
    """Two notebooks are two studios; each comes back as it was left."""
    notebook = open_notebook(SHOW)
    first = notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
    notebook.run(0)
    side = sidebar_of(notebook)
    side.get_by_role("tab", name="Second").click()
    expect_tab(cell_of(notebook), "Second")
    lab.write([SHOW], name="other.ipynb")
    notebook.bring("other.ipynb")
    expect(side.get_by_text("other.ipynb")).to_be_visible()
    expect(side.get_by_role("button", name="Start here")).to_be_visible()
    notebook.run(0)
    side.get_by_role("tab", name="Third").click()
    expect_tab(cell_of(notebook), "Third")

    notebook.bring(first)
    expect_tab(side, "Second")
    notebook.bring("other.ipynb")
    expect_tab(side, "Third")


def test_reload_and_restart(open_notebook: Callable[..., Notebook]) -> None:
    """A page loaded again shows the studio that the kernel still has; a kernel started again, or killed, has none until it is opened."""
    notebook = open_notebook(SHOW, KILL)
    notebook.run(0)
    side = sidebar_of(notebook)
    side.get_by_role("tab", name="Second").click()
    expect_tab(cell_of(notebook), "Second")
    notebook.save()
    notebook.load()
    notebook.command("peft-studio:open")
    expect_tab(side, "Second")
    side.get_by_role("tab", name="Third").click()
    expect_tab(cell_of(notebook), "Third")

    notebook.restart_kernel()
    side.get_by_role("button", name="Start here").click()
    expect(side.get_by_role("tab", name="Run", exact=True)).to_be_visible()
    notebook.run(0)
    side.get_by_role("tab", name="Second").click()
    expect_tab(cell_of(notebook), "Second")

    notebook.run(1)  # the next tab kills the kernel in the middle of its command
    side.get_by_role("tab", name="Third").click()
    ended = notebook.page.locator(".jp-Notebook").get_by_text("The kernel that this panel belongs to has ended.")
    expect(ended).to_be_visible()  # the server looks every three seconds
    notebook.page.get_by_role("dialog").get_by_role("button", name="Ok").click()  # JupyterLab's own word on it
    side.get_by_role("button", name="Start here").click()
    expect(side.get_by_role("tab", name="Run", exact=True)).to_be_visible()
    notebook.run(0)
    side.get_by_role("tab", name="Third").click()
    expect_tab(cell_of(notebook), "Third")
    # The Jupyter server may pass on the torn last message of a killed kernel, on which JupyterLab trips.
    notebook.errors[:] = [error for error in notebook.errors if "Kernel message validation error" not in error]


def test_code_becomes_a_cell(open_notebook: Callable[..., Notebook]) -> None:
    """From the panel of a cell and from the sidebar: below the active cell, focused, not run; run, it does the same."""
    notebook = open_notebook("from peft_studio import studio\nstudio.show('train')", "studio.panel()")
    page, side = notebook.page, sidebar_of(notebook)
    cells = page.locator(".jp-Notebook .jp-Cell")
    notebook.run(0)
    insert_code(notebook.panel())
    expect(cells).to_have_count(3)
    expect(cells.nth(1).locator(".jp-InputPrompt")).to_have_text("[ ]:")
    expect(cells.nth(1).locator(".cm-content")).to_be_focused()
    notebook.run(1)
    expect(notebook.panel(1).get_by_role("heading", name="Train")).to_be_visible()

    notebook.run(2)
    side.get_by_role("tab", name="Train").click()
    insert_code(side.get_by_role("tabpanel"))
    expect(cells).to_have_count(4)
    expect(cells.nth(3)).to_contain_text('studio.show("train")')
    expect(cells.nth(3)).to_be_in_viewport()
    ask = "(panel, detail) => panel.dispatchEvent(new CustomEvent('peft-studio:insert', { bubbles: true, cancelable: true, detail }))"
    assert all(notebook.panel().evaluate(ask, refused) for refused in (7, "", "x" * 200_001))
    expect(cells).to_have_count(4)


def insert_code(panel: Locator) -> None:
    """Open Show code and have it inserted."""
    panel.get_by_role("button", name="Show code").click()
    panel.get_by_role("button", name="Insert as cell").click()
    expect(panel.get_by_role("button", name="Inserted, not run")).to_be_visible()


def test_without_a_notebook_it_offers_one(lab: Lab) -> None:
    """With nothing open a button makes a notebook with the studio in it; the launcher has a card for the same."""
    page = lab.open_empty()
    expect(page.page.locator(".jp-LauncherCard", has_text="Studio")).to_be_visible()
    page.command("peft-studio:open")
    side = sidebar_of(page)
    side.get_by_role("button", name="New Studio notebook").click()
    expect(side.get_by_role("tab", name="Run", exact=True)).to_be_visible()
    expect(cell_of(page)).to_be_visible()
    expect(page.page.locator(".jp-Notebook .jp-Cell").nth(1)).to_contain_text("studio.show()")
    page.close()

    assert page.errors == []


def test_without_a_notebook_it_lists_the_runs(lab: Lab) -> None:
    """Newest first, as the server tells them; a click opens a notebook whose studio shows the run."""
    home, now = lab.folder / ".home", time.time()
    folders = [
        write_run(home, 1, "last week", "completed", at=now - 7 * 86_400),
        write_run(home, 2, "last night", "failed", at=now - 40_000),
    ]
    page = lab.open_empty()
    try:
        page.command("peft-studio:open")
        side = sidebar_of(page)
        expect(side.locator("li")).to_have_count(2)
        expect(side.locator("li").first).to_contain_text("last night")
        expect(side.locator("li").first).to_contain_text("Failed")
        side.get_by_role("button", name="last week").click()
        for view in (cell_of(page), side.locator(".ps-studio")):
            expect(view.get_by_role("heading", name="last week")).to_be_visible()  # a kernel starts first
        page.close()
    finally:
        for folder in folders:
            shutil.rmtree(folder)

    assert page.errors == []


def test_in_notebook_7(lab: Lab) -> None:
    """The studio draws in a cell and obeys, the sidebar stands beside it as second view, and code becomes a cell."""
    notebook = lab.open(["from peft_studio import studio\nstudio.show()"], name="seven.ipynb", app="notebooks")
    notebook.run(0)
    cell, side = cell_of(notebook), sidebar_of(notebook)
    cell.get_by_role("tab", name="Train").click()
    notebook.command("peft-studio:open")
    expect_tab(side, "Train")
    side.get_by_role("tab", name="Logs").click()
    expect_tab(cell, "Logs")
    cell.get_by_role("tab", name="Train").click()
    insert_code(side.get_by_role("tabpanel"))
    expect(notebook.page.locator(".jp-Notebook .jp-Cell")).to_have_count(2)
    notebook.close()

    assert [error for error in notebook.errors if not any(known in error for known in NOTEBOOK_7_SAYS)] == []


def test_it_comes_to_the_front_where_that_is_set(open_notebook: Callable[..., Notebook]) -> None:
    """The setting is read, and obeyed when the studio is shown."""
    notebook = open_notebook(SHOW)
    save = "text => window.jupyterapp.serviceManager.settings.save('peft-studio:plugin', text)"
    notebook.page.evaluate(save, '{"openWithStudio": true}')
    try:
        notebook.save()
        notebook.load()
        notebook.command("filebrowser:activate")
        expect(sidebar_of(notebook)).not_to_be_visible()
        notebook.run(0)
        expect(sidebar_of(notebook).get_by_role("tab", name="Run", exact=True)).to_be_visible()
    finally:
        notebook.page.evaluate(save, "{}")


RUN = """
from peft_studio import Studio
studio = Studio(home={home!r})
spec = studio.spec(model={model!r}, data={data!r}, name="tiny", method="lora", rank=4, max_steps=20_000,
                   batch_size=1, gradient_accumulation_steps=1, max_length=64, precision="fp32")
run = studio.launch(spec)
studio.show()
"""


def test_an_active_run_can_be_seen_and_stopped(
    open_notebook: Callable[..., Notebook], tmp_path: Path, tiny_model: Path, tiny_rows: Path
) -> None:
    """Status bar and Running panel have the run. Stop asks, whatever a program passes along; the second answer stops it."""
    home = tmp_path / "home"
    notebook = open_notebook(RUN.format(home=str(home), model=str(tiny_model), data=str(tiny_rows)), "print(run.state)")
    page = notebook.page
    try:
        notebook.run(0)
        status = page.locator(".ps-side-status button")
        expect(status).to_contain_text("tiny: Training", timeout=120_000)
        notebook.command("running:show-panel")
        expect(page.locator(".jp-RunningSessions").get_by_text("tiny", exact=True)).to_be_visible()

        dialog = page.locator(".jp-Dialog")
        notebook.command("peft-studio:stop-run", run_id="another", save=False, confirmed=True)
        expect(dialog.locator(".jp-Dialog-header")).to_have_text("Stop tiny?")
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        expect(status).to_contain_text("Training")
        status.click()
        expect(sidebar_of(notebook).locator(".ps-state").first).to_have_attribute("data-state", "training")

        notebook.command("peft-studio:stop-run")
        dialog.get_by_role("button", name="Stop and save").click()
        expect(sidebar_of(notebook).locator(".ps-state").first).to_have_attribute(
            "data-state", "stopped", timeout=60_000
        )
        wait_for(lambda: not status.is_visible(), "an empty status bar")
        expect(page.locator(".jp-Notification-Status")).to_contain_text("1")  # JupyterLab's own bell has heard of it
        expect(page.get_by_text("The run has stopped")).to_have_count(0)  # and the panel leaves the telling to it
    finally:
        end_processes_of(home)
