"""The Compute panel in JupyterLab, used through a real browser: the table and the question before a machine is rented.

What comes of a yes, at every provider, is in ``test_rented_walk.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Keyboard, Locator, expect

from tests.conftest import end_processes_of
from tests.emulators.loopback import Reply
from tests.emulators.machine import Machines
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod
from tests.speed import write_speed
from tests.ui.axe import scan_themes, words
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

KEY = "rpa_" + "A" * 40
WIDTHS = (280, 320, 480, 640, 800, 1400)
SHOW = """
import os
os.environ.update({environment!r})
from peft_studio import Studio
studio = Studio(home={home!r})
studio.spec(model={model!r}, data=studio.data({rows!r}), name="orders <img src=x onerror='window.stolen=1'>", method="lora", rank=4,
            max_steps=400, save_steps=200, batch_size=4, max_length=128, precision="fp32")
studio.show("compute")
"""
NOTE_FOCUS = "() => { window.focused = []; addEventListener('focusin', ({ target }) => focused.push(target.ariaLabel || target.textContent)) }"
CONNECT = f"studio.connect('runpod', key={KEY!r}, keep=False)"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """RunPod with two cards on sale and one sold out; its machines are processes, ended after the test."""
    gpus = [
        make_gpu("NVIDIA L4", 24, secure=0.39),
        make_gpu("NVIDIA A100 80GB PCIe", 80, secure=1.64),
        make_gpu("NVIDIA A40", 48, secure=0.4, free="NONE"),
    ]
    with Machines(tmp_path / "pods") as machines:
        yield Cloud(machines=machines, gpus=gpus, keys={KEY: "all"})


@pytest.fixture
def notebook(lab: Lab, cloud: Cloud, tmp_path: Path, tiny_model: Path, tiny_rows: Path) -> Iterator[Notebook]:
    """A notebook with the panel of a draft, before anybody is connected."""
    home = write_speed(tmp_path / "home")
    with serve_runpod(cloud) as (address, proxy):
        environment = {"RUNPOD_URL": address, "RUNPOD_PROXY_URL": proxy}
        show = SHOW.format(environment=environment, home=str(home), model=str(tiny_model), rows=str(tiny_rows))
        opened = lab.open([show, CONNECT], name="compute.ipynb", viewport={"width": 1700, "height": 1400})
        opened.run(0)
        yield opened
        errors = opened.errors
        opened.close()
        end_processes_of(home)
    assert errors == []


def untick_tick_and_rent(dialog: Locator, keys: Keyboard) -> None:
    """From the cap on, with keys: leave out what is tried next, take it back, confirm. The Python follows."""
    after = dialog.get_by_role("checkbox", name="NVIDIA A100 80GB PCIe at RunPod, secure cloud")
    expect(after).to_be_checked()
    expect(dialog).to_contain_text("$1.64 an hour")
    python = dialog.get_by_label("The same in Python")
    expect(python).to_contain_text("compute=[row.offer for row in rows]")
    keys.press("Tab")
    expect(dialog.get_by_label("Longest life, in hours")).to_be_focused()
    keys.press("Tab")
    expect(after).to_be_focused()
    keys.press("Space")
    expect(after).not_to_be_checked()
    expect(python).to_contain_text("compute=row.offer")
    keys.press("Space")
    rent = dialog.get_by_role("button", name="Rent for at most $5.00")
    expect(python).to_contain_text("compute=[row.offer for row in rows]")
    keys.press("Tab")  # the Python
    keys.press("Tab")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    keys.press("Tab")
    expect(rent).to_be_focused()
    keys.press("Enter")


def test_from_the_table_to_the_question(notebook: Notebook, cloud: Cloud) -> None:
    """With the keyboard alone: every machine with its money, what is agreed to, what is tried next; and nothing is bought without a yes."""
    panel, keys = notebook.panel(), notebook.page.keyboard
    found: dict[str, str] = {}
    expect(panel.get_by_text("No provider of machines is connected")).to_be_visible()
    expect(panel.get_by_role("row", name="This machine")).to_contain_text("$0")
    notebook.run(1)
    row = panel.get_by_role("row", name="NVIDIA L4 RunPod")
    expect(row).to_contain_text("$0.39")
    expect(panel.get_by_role("row", name="Nearest:")).to_contain_text(
        "NVIDIA L4 at RunPod, secure cloud (about the same)"
    )
    for width in WIDTHS:
        notebook.resize(panel, width=width, font="16px" if width == 320 else "13px")
        assert notebook.sticking_out(panel) == [], width
    found |= scan_themes(notebook, "the table")

    choose = panel.get_by_role("button", name="Choose NVIDIA L4 at RunPod", exact=True)
    choose.focus()
    notebook.page.evaluate(NOTE_FOCUS)
    keys.press("Enter")
    dialog = panel.get_by_role("dialog", name="Rent NVIDIA L4 at RunPod?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    for said in ("$0.39 an hour", "about $", "If this computer is away", "ends itself", "Leaves this machine"):
        expect(dialog).to_contain_text(said)
    cap = dialog.get_by_label("Never more than, in dollars")
    cap.fill("a lot")
    expect(dialog.get_by_role("alert")).to_contain_text("no amount of dollars")
    expect(dialog.get_by_role("button", name="Rent", exact=True)).to_have_attribute("aria-disabled", "true")
    cap.fill("0.75")
    expect(dialog.get_by_role("button", name="Rent for at most $0.75")).to_be_visible()
    found |= scan_themes(notebook, "the question")
    keys.press("Escape")
    expect(dialog).to_have_count(0)
    focused = notebook.page.evaluate("() => focused.slice(focused.lastIndexOf('Never more than, in dollars') + 1)")
    assert focused == ["Choose NVIDIA L4 at RunPod"]  # and nothing before it, which a key could meet
    assert cloud.pods == {}

    keys.press("Enter")
    cap.fill("5")
    expect(dialog.get_by_role("checkbox")).to_be_checked()
    found |= scan_themes(notebook, "what is tried next")
    cloud.instead["GET /v2/catalog/gpus"] = [Reply(500)] * 20
    untick_tick_and_rent(dialog, keys)
    expect(panel.get_by_role("alert")).to_contain_text("Nothing was rented")
    assert cloud.pods == {}
    assert not found, words(found)
    assert notebook.page.evaluate("() => window.stolen") is None
