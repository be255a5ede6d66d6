"""A kernel that cannot obey a click beside a cell, as with ipykernel 6: the page says what it waits for, and a click can be taken back."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError as TooLate
from playwright.sync_api import expect

from tests.ui.lab import Lab

pytestmark = pytest.mark.slow

# Without the hook, and with comms that do not go over subshells, everything waits for the cell.
SHOW = """
from peft_studio.widgets import _panel
_panel.take_clicks_during_cells = lambda comm: None
from peft_studio import studio
studio.show()
"""
NO_SUBSHELLS = (
    "() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.commsOverSubshells = 'disabled'; }"
)
WAITS = "Kernel busy: will act when the cell ends"
BUSY = "import pathlib\nwhile not pathlib.Path({!r}).exists():\n    pass\nprint(studio.session.now.panel)"


def test_a_click_waits_and_can_be_taken_back(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Taken back it does nothing when the cell ends; else it is done then, once. After a reload the sidebar says what it waits for."""
    gates = [tmp_path / str(number) for number in range(3)]
    request.addfinalizer(
        lambda: [gate.touch() for gate in gates] and None
    )  # a cell that spins on would slow down what comes after
    notebook = lab.open([SHOW, *(BUSY.format(str(gate)) for gate in gates)], name="busy.ipynb")
    notebook.page.evaluate(NO_SUBSHELLS)
    notebook.run(0)
    panel = notebook.page.locator(".jp-Notebook .ps-studio")
    waits = notebook.page.locator(".jp-Notebook").get_by_text(WAITS)
    data, logs = (panel.get_by_role("tab", name=name) for name in ("Data", "Logs"))
    expect(data).to_have_attribute("aria-selected", "true")

    notebook.start(1)
    notebook.wait_for_busy(1)
    logs.click()
    expect(waits).to_be_visible()
    while waits.count():  # the tab, and perhaps its panel that is to be loaded
        with contextlib.suppress(TooLate):  # it was taken away by the click before
            notebook.page.get_by_role("button", name="Take back").first.click(timeout=2_000)
    expect(waits).to_have_count(0)
    expect(data).to_have_attribute("aria-selected", "true")
    gates[0].touch()
    notebook.wait_for_cell(1)
    notebook.start(2)
    notebook.wait_for_busy(2)  # the click stood between both cells
    logs.click()
    expect(waits).to_be_visible()
    gates[1].touch()
    notebook.wait_for_cell(2)
    expect(waits).to_have_count(0)
    expect(logs).to_have_attribute("aria-selected", "true")

    notebook.start(3)
    notebook.wait_for_busy(3)
    notebook.save()  # else the page asks before it is left
    notebook.page.reload()
    notebook.page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('peft-studio:open')")
    notebook.command("peft-studio:open")
    side = notebook.page.locator("#peft-studio-sidebar")
    expect(side.get_by_text("Waiting for the kernel. If a cell is running, for its end.")).to_be_attached()
    gates[2].touch()
    notebook.wait_until_ready()
    said = [cell["outputs"][0]["text"] for cell in notebook.save()["cells"][1:3]]
    notebook.close()

    assert "".join(said[0]).strip() == "None"
    assert "".join(said[1]).strip() == "None"
    assert notebook.errors == []
