"""The Publish panel in JupyterLab, used through a real browser, against a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.emulators.hub import Hub, serve_hub
from tests.made_run import RUN_ID, write_made_run
from tests.ui.axe import scan_themes, words
from tests.ui.lab import Lab, Notebook
from tests.unit._studio.test_publish import COMMIT, TOKEN, account

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)
NAME = "orders <img src=x onerror='window.stolen=1'> of a-name-that-is-longer-than-a-sidebar"
SHOW = """
import os
os.environ.update(HF_ENDPOINT={hub!r}, OLLAMA_HOST="127.0.0.1:9", CIVITAI_URL="http://127.0.0.1:9")
os.environ.pop("HF_TOKEN", None)
from peft_studio import Studio
studio = Studio(home={home!r})
studio.connect("huggingface", token={token!r}, keep=False)
studio.show("publish")
"""
OFFLINE = "studio.offline = 'on a train'"


@pytest.fixture
def hub() -> Hub:
    return Hub(accounts={TOKEN: account()})


@pytest.fixture
def notebook(lab: Lab, hub: Hub, tmp_path: Path) -> Iterator[Notebook]:
    """A notebook with the panel of a home in which one run, of a hostile name, has an adapter."""
    write_made_run(tmp_path / "home", name=NAME)
    with serve_hub(hub) as address:
        show = SHOW.format(hub=address, home=str(tmp_path / "home"), token=TOKEN)
        opened = lab.open([show, OFFLINE], name="publish.ipynb", viewport={"width": 1700, "height": 1400})
        opened.run(0)
        expect(opened.panel().get_by_text("What goes")).to_be_visible()
        hub.asked.clear()
        yield opened
        errors = opened.errors
        opened.close()
    assert errors == []


def fits(notebook: Notebook) -> None:
    """Nothing lies outside the panel at any width."""
    panel = notebook.panel()
    for width in WIDTHS:
        notebook.resize(panel, width=width, font="16px" if width == 320 else "13px")
        assert notebook.sticking_out(panel) == [], width


def before_it_goes(notebook: Notebook, hub: Hub) -> Iterator[str]:
    """A name is given, the card is looked at both ways, and the dialog's first button is not the one that sends."""
    panel, keys = notebook.panel(), notebook.page.keyboard
    panel.get_by_label("Name there").fill("me/orders")
    keys.press("Enter")
    expect(panel.locator(".ps-foot")).to_contain_text("private, to me/orders at Hugging Face")
    card = panel.get_by_label("Preview of the model card")
    expect(card.get_by_role("heading", name="<img src=x onerror=")).to_be_visible()
    expect(card.locator("table").last).to_contain_text("torch")
    fits(notebook)
    yield "a plan"
    panel.get_by_text("Text", exact=True).click()
    expect(panel.get_by_label("Text of the model card")).to_contain_text("base_model:")
    panel.get_by_role("button", name="Publish…").focus()
    keys.press("Enter")
    dialog = panel.get_by_role("dialog", name="Publish me/orders to Hugging Face?")
    expect(dialog).to_contain_text("Only you")
    expect(dialog.locator("li").filter(has_text="adapter_model.safetensors")).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    yield "the question"
    keys.press("Enter")
    expect(dialog).to_have_count(0)
    assert (hub.asked, hub.repos) == ([], [])


def as_it_goes(notebook: Notebook, hub: Hub, *, weights_bytes: int) -> Iterator[str]:
    """Bytes while they are sent, then the link and the lines."""
    panel = notebook.panel()
    hub.held = COMMIT.replace("me/x", "me/orders")
    panel.get_by_role("button", name="Publish…").click()
    panel.get_by_role("dialog").get_by_role("button", name="Publish", exact=True).click()
    expect(panel.get_by_role("progressbar", name="Sent")).to_have_attribute("aria-valuenow", str(weights_bytes))
    expect(panel.get_by_role("heading", name="Sending")).to_be_focused()
    expect(panel.get_by_role("button", name="Cancel")).to_be_visible()
    yield "under way"
    hub.held = ""
    hub.release.set()
    expect(panel.get_by_role("link", name="/me/orders")).to_be_visible()
    expect(panel.get_by_label("How others get it").locator("li").first).to_contain_text("hf download me/orders")
    fits(notebook)
    yield "published"
    repo = hub.find("models", "me/orders")
    assert repo is not None
    assert repo.private


def without_a_network(notebook: Notebook) -> Iterator[str]:
    """It is said before, in the dialog, and after."""
    panel = notebook.panel()
    panel.get_by_role("button", name="Publish elsewhere").click()
    expect(panel.get_by_role("heading", name="Where to")).to_be_focused()
    expect(panel.locator(".ps-earlier li")).to_contain_text("me/orders")
    notebook.run(1)
    expect(panel.locator("[data-name=huggingface]")).to_contain_text("It will wait in the outbox: on a train")
    panel.get_by_text("Everybody", exact=True).click()
    expect(panel.locator(".ps-foot")).to_contain_text("public")
    panel.get_by_role("button", name="Publish…").click()
    expect(panel.get_by_role("dialog")).to_contain_text("until then it waits in the outbox")
    panel.get_by_role("dialog").get_by_role("button", name="Publish for everybody").click()
    expect(panel.get_by_role("heading", name="Waits in the outbox")).to_be_visible()
    expect(panel.get_by_text("In the outbox since")).to_be_visible()
    yield "waiting"


def test_from_the_choice_to_the_page_of_it(notebook: Notebook, hub: Hub, tmp_path: Path) -> None:
    """Nothing leaves before the dialog's own button; then it arrives, or waits. No state shuts anybody out, and no name is markup."""
    weights = tmp_path / "home" / "runs" / RUN_ID / "adapter" / "adapter_model.safetensors"
    states = (
        before_it_goes(notebook, hub),
        as_it_goes(notebook, hub, weights_bytes=weights.stat().st_size),
        without_a_network(notebook),
    )
    found: dict[str, str] = {}
    for state in chain(*states):
        found |= scan_themes(notebook, state)

    assert not found, words(found)
    assert notebook.page.evaluate("() => window.stolen") is None
