"""The Spend panel in JupyterLab, used through a real browser, on a home whose records were made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.made_run import RUN_ID, write_made_run
from tests.rent_home import RentHome
from tests.ui.axe import scan_themes, words
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)
NAME = "orders <img src=x onerror='window.stolen=1'> of a-name-that-is-longer-than-a-sidebar"
SHOW = """
from peft_studio import Studio
studio = Studio(home={home!r})
studio.show("spend")
"""


@pytest.fixture
def rented(tmp_path: Path) -> Iterator[RentHome]:
    """Machines that were, one that is, of a hostile name, and one that is nobody's. They seem to be watched."""
    made = RentHome(tmp_path / "home")
    write_made_run(tmp_path / "home", name=NAME)
    made.rent(RUN_ID, hours_ago=30, lasted_h=3)
    made.rent("r-20261126-101112-00000b", provider="vastai", hours_ago=60, lasted_h=5)
    made.rent(RUN_ID, hours_ago=2, usd_per_hour="1.19", budget_usd="5", gpu="NVIDIA A100 80GB PCIe <b>")
    made.stray()
    with made.watched():
        yield made


@pytest.fixture
def notebook(lab: Lab, rented: RentHome) -> Iterator[Notebook]:
    """A notebook with the panel."""
    home = str(rented.folder.parent)
    cells = [SHOW.format(home=home), f"studio.show('run', {RUN_ID!r})"]
    opened = lab.open(cells, name="spend.ipynb", viewport={"width": 1700, "height": 1400})
    opened.run(0)
    expect(opened.panel().get_by_text("Machines now")).to_be_visible()
    yield opened
    errors = opened.errors
    opened.close()
    assert errors == []


def test_from_an_alarm_to_the_end_of_a_machine(notebook: Notebook, rented: RentHome) -> None:
    """Everything is shown at every width and in both themes; a machine is named before it is ended, and the first button does not end it."""
    panel, keys = notebook.panel(), notebook.page.keyboard
    expect(panel.locator(".ps-notice")).to_contain_text("which has no record of it")
    expect(panel.locator(".ps-notice")).to_contain_text("$48.00 a day")
    expect(panel.get_by_role("region", name="Machines now")).to_contain_text("$1.19/h")
    for width in WIDTHS:
        notebook.resize(panel, width=width, font="16px" if width == 320 else "13px")
        assert notebook.sticking_out(panel) == [], width
    notebook.resize(panel, width=900, font="13px")
    found = scan_themes(notebook, "everything")

    panel.get_by_label("Cap of a month").fill("50")
    keys.press("Enter")
    expect(panel.locator(".ps-cap")).to_contain_text("left; at the cap, machines are ended")
    panel.get_by_role("button", name="Table").click()
    expect(panel.get_by_role("region", name="Dollars by day").locator("tbody tr")).to_have_count(14)
    panel.get_by_role("button", name="End RunPod NVIDIA A100").focus()
    keys.press("Enter")
    dialog = panel.get_by_role("dialog")
    expect(dialog).to_contain_text("$1.19/h, $28.56 a day")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    found |= scan_themes(notebook, "the question")
    keys.press("Enter")
    expect(dialog).to_have_count(0)
    assert [record.wish.end for record in rented.store.list_open()] == [None]

    panel.get_by_role("button", name="End it…").click()
    panel.get_by_role("dialog").get_by_role("button", name="End it").click()
    expect(panel.get_by_text("ending (nobody's)")).to_be_visible()
    assert len(rented.store.list_open()) == 2

    notebook.run(1)
    run = notebook.panel(1)
    expect(run.locator(".ps-tiles")).to_contain_text("Cost so far, estimated")
    expect(run.locator(".ps-tiles")).to_contain_text("of $5.00")
    expect(run.locator(".ps-sub")).to_contain_text("RunPod, NVIDIA A100 80GB PCIe <b>")
    found |= scan_themes(notebook, "a run")
    assert not found, words(found)
    assert notebook.page.evaluate("() => window.stolen") is None
