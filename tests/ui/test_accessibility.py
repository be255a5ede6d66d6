"""No panel has anything that axe-core knows to shut people out: every step, empty, full and in trouble, in a cell and in the sidebar, light and dark."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.emulators.hub import Hub, serve_hub
from tests.speed import write_speed
from tests.tiny import build_rows
from tests.ui.axe import scan_themes, words
from tests.ui.lab import Lab, Notebook
from tests.ui.write_home import write_home
from tests.unit.widgets.test_models import repo

pytestmark = pytest.mark.slow

SHOW = "from peft_studio import Studio\nstudio = Studio(home={!r})\nstudio.session.choose(model={!r})\nstudio.show()"
NOWHERE = "127.0.0.1:9"  # where nobody listens
PLATFORMS = """
import os
os.environ.update(HF_ENDPOINT={hub!r}, CIVITAI_URL="http://{nowhere}", OLLAMA_HOST="{nowhere}", CIVITAI_TOKEN="x" * 32)
_ = studio._queue("huggingface:me/adapter", "upload", {{}}, id="e1")
"""
DRAFT = "_ = studio.spec(model={model!r}, data=studio.session.now.data, name='tiny')"


@pytest.fixture
def open_studio(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """The studio in a cell and in the sidebar. Afterwards its page has seen no error."""
    opened: list[Notebook] = []

    def open_(*cells: str) -> Notebook:
        notebook = lab.open(list(cells), name=f"{request.node.name}.ipynb", viewport={"width": 1500, "height": 1000})
        opened.append(notebook)
        notebook.run(0)
        notebook.command("peft-studio:open")
        expect(notebook.page.locator("#peft-studio-sidebar").get_by_role("tab", name="Data")).to_be_visible()
        return notebook

    yield open_
    for notebook in opened:
        notebook.close()
        assert notebook.errors == []


def go(notebook: Notebook, step: str) -> Locator:
    """Go to a step by its tab; the step's panel in the cell, once it has been drawn."""
    notebook.panel().get_by_role("tab", name=step, exact=True).click()
    for where in (".jp-Notebook", "#peft-studio-sidebar"):
        expect(notebook.page.locator(f"{where} [role=tabpanel] section.ps .ps-head")).to_be_visible()
    return notebook.page.locator(".jp-Notebook [role=tabpanel] section.ps")


def platform_states(notebook: Notebook) -> Iterator[str]:
    """Connect with a refused and a silent platform, offline, with what waits; Models with results and one of them opened."""
    connect = go(notebook, "Connect")
    notebook.run(2)
    connect.get_by_role("button", name="Show code").click()
    connect.get_by_role("button", name="More", exact=True).click()
    connect.get_by_role("button", name="Connect, Hugging Face").click()
    connect.get_by_label("Access token of Hugging Face").fill("hf_" + "x1" * 20)
    connect.get_by_role("button", name="Test and save").click()
    expect(connect.get_by_role("alert")).to_be_visible()
    yield "Connect, a key refused"
    connect.get_by_role("button", name="Connect, Civitai").click()
    expect(connect.get_by_role("button", name="Use CIVITAI_TOKEN")).to_be_visible()
    connect.get_by_role("button", name="Work offline").click()
    expect(connect.locator(".ps-entries li")).to_have_count(1)
    yield "Connect, offline"
    connect.get_by_role("button", name="Go online").click()
    models = go(notebook, "Models")
    models.get_by_role("button", name="Show the most downloaded").click()
    expect(models.locator(".ps-parts-line [data-state=failed]")).to_have_count(2)
    yield "Models, results and failures"
    models.get_by_role("button", name="org/tiny-1", exact=True).click()
    expect(models.get_by_label("Model card")).to_be_visible()
    yield "Models, one of them"


def data_states(notebook: Notebook, folder: Path) -> Iterator[str]:
    """The Data panel brought from one state into the next."""
    rows = [*build_rows(30), {"prompt": "only a prompt"}, *build_rows(1)]
    path = folder / "orders.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = go(notebook, "Data")
    field = data.get_by_label("File, folder or hub id")
    field.fill(str(folder / "not there.jsonl"))
    field.press("Enter")
    expect(data.get_by_role("alert")).to_be_visible()
    yield "Data, a file that is not there"
    field.fill(str(path))
    field.press("Enter")
    expect(data.locator(".ps-badge").first).to_contain_text("Not usable")
    data.get_by_role("button", name="Show code").click()
    yield "Data, with findings"
    data.get_by_text("Tokens", exact=True).click()
    data.get_by_role("button", name="Leave out 1").first.click()
    expect(data.locator(".ps-badge").first).to_contain_text("Usable")
    yield "Data, as tokens"


def train_states(notebook: Notebook) -> Iterator[str]:
    """The Train panel with all open and two things wrong."""
    train = go(notebook, "Train")
    notebook.run(1)
    train.get_by_text("Advanced", exact=True).click()
    train.get_by_role("radiogroup", name="Method").get_by_text("PiSSA").click()
    train.get_by_role("radiogroup", name="Quantization").get_by_text("nf4").click()
    train.get_by_role("button", name="Why, Rank").click()
    train.get_by_label("Rank", exact=True).fill("0")
    train.get_by_label("Rank", exact=True).press("Enter")
    for group in ("Machine", "Saving", "Evaluation and samples", "Run"):
        train.get_by_role("button", name=f"{group}, ").click()
    train.get_by_role("button", name="Export…").click()
    train.get_by_role("button", name="Memory, what it is made of").click()
    train.get_by_role("button", name="Time and cost, what they are made of").click()
    expect(train.get_by_role("alert")).to_be_visible()
    expect(train.locator(".ps-before .ps-badge").first).to_contain_text("Not ready")
    yield "Train, advanced, not ready"


def run_states(notebook: Notebook) -> Iterator[str]:
    """The list, two runs side by side, a dialog, a failed, a lost and a completed run, the log of all."""
    runs = go(notebook, "Runs")
    for name in ("sql-assistant-v3", "sql-assistant-v2"):
        runs.get_by_label(f"Select {name}").check()
    runs.get_by_role("button", name="Compare", exact=True).click()
    expect(runs.get_by_role("region", name="Side by side")).to_be_visible()
    yield "Runs, compared"
    runs.get_by_role("button", name="Delete…").click()
    expect(runs.get_by_role("dialog")).to_be_visible()
    yield "Runs, asking"
    runs.get_by_role("button", name="Cancel").click()
    for name in ("sql-smoke", "sql-ray-02", "sql-assistant-v4"):
        go(notebook, "Runs").get_by_role("button", name=name, exact=True).click()
        expect(notebook.panel().get_by_role("heading", name=name)).to_be_visible()
        yield f"Run, {name}"
    go(notebook, "Logs").get_by_label("Run", exact=True).select_option("all")
    yield "Logs, all runs"


def test_empty_panels(open_studio: Callable[..., Notebook], tmp_path: Path) -> None:
    """A home with nothing in it: every step as a newcomer sees it."""
    notebook = open_studio(SHOW.format(str(tmp_path / "home"), None))
    found: dict[str, str] = {}
    for step in ("Connect", "Models", "Data", "Train", "Runs", "Run", "Chat", "Publish", "Logs"):
        go(notebook, step)
        found |= scan_themes(notebook, step)

    assert not found, words(found)


def test_full_panels(open_studio: Callable[..., Notebook], tmp_path: Path, tiny_model: Path) -> None:
    """Platforms in trouble, models, data with findings, a draft that is not ready, a comparison, a dialog, ended runs of three kinds, their log."""
    home = write_speed(write_home(tmp_path / "home", now=time.time()))
    found: dict[str, str] = {}
    with serve_hub(Hub(repos=[repo("org/tiny-1", 2_000_000)])) as hub:
        show, draft = SHOW.format(str(home), str(tiny_model)), DRAFT.format(model=str(tiny_model))
        notebook = open_studio(show, draft, PLATFORMS.format(hub=hub, nowhere=NOWHERE))
        for state in platform_states(notebook):
            found |= scan_themes(notebook, state)
    for state in chain(data_states(notebook, tmp_path), train_states(notebook), run_states(notebook)):
        found |= scan_themes(notebook, state)

    assert not found, words(found)
