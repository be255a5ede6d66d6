"""The Models panel in JupyterLab, used through a real browser, against registries on loopback of which one never answers."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.emulators.civitai import Site, make_model, serve_civitai
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.emulators.machine import Machines
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod
from tests.ui.lab import Lab, Notebook
from tests.unit.widgets.test_models import CONFIG

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)
CARD = "# Card\n<img src=x onerror='window.stolen=1'><script>window.stolen=2</script>\n" + "word " * 400
SHOW = """
import os
os.environ.update(HF_ENDPOINT={hub!r}, OLLAMA_HOST={ollama!r}, CIVITAI_URL={civitai!r}, RUNPOD_URL={runpod!r}, RUNPOD_PROXY_URL={runpod!r})
from peft_studio import Studio
studio = Studio(home={home!r})
studio.show("models")
"""
KEY = "rpa_" + "A" * 40
CONNECT = f"studio.connect('runpod', key={KEY!r}, keep=False)"
CHOSEN = "print('chosen', studio.session.now.model)"


@pytest.fixture
def hub() -> Hub:
    """Two models, one with a name and a card that are hostile."""
    facts = {"pipeline_tag": "text-generation", "cardData": {"license": "mit"}, "downloads": 12_345}
    files = {"config.json": json.dumps(CONFIG).encode(), "README.md": CARD.encode()}
    tensors = {"safetensors": {"parameters": {"BF16": 2_000_000}, "total": 2_000_000}}
    large = {"safetensors": {"parameters": {"BF16": 900 * 10**9}, "total": 900 * 10**9}}
    bulk = [
        Repo(f"org/bulk-{n}", {}, facts={**facts, "downloads": 1000 - n, "safetensors": {"parameters": {"BF16": 9000 - n}, "total": 9000 - n}})
        for n in range(60)
    ]  # fmt: skip
    long = "an-organisation-with-a-long-name/tiny-with-a-name-that-is-longer-than-any-panel-is-wide-instruct-v0.1"
    return Hub(
        repos=[
            Repo("org/tiny-1", files, facts={**facts, **tensors}),
            Repo(long, files, facts={**facts, **large}, gated=True),
            *bulk,
        ]
    )


@pytest.fixture
def notebook(lab: Lab, hub: Hub, tmp_path: Path) -> Iterator[Notebook]:
    """A notebook whose Ollama takes connections and says nothing; RunPod has one card on sale and is not connected."""
    site = Site(models=[make_model(1, "tiny <b>one</b>", type="LLM")])
    gpus = [make_gpu("NVIDIA L4", 24, secure=0.39), make_gpu("NVIDIA A40", 48, secure=0.2, free="NONE")]
    cloud = Cloud(machines=Machines(tmp_path / "pods"), gpus=gpus, keys={KEY: "all"})
    with (
        serve_hub(hub) as address,
        serve_civitai(site) as civitai,
        serve_runpod(cloud) as (runpod, _),
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        ollama = f"127.0.0.1:{silent.getsockname()[1]}"
        cell = SHOW.format(hub=address, civitai=civitai, ollama=ollama, runpod=runpod, home=str(tmp_path / "home"))
        opened = lab.open(
            [cell, "studio.offline = 'on a plane'", CHOSEN, CONNECT],
            name="models.ipynb",
            viewport={"width": 1700, "height": 1200},
        )
        opened.run(0)
        expect(opened.panel().locator(".ps-models-table")).to_be_visible()
        yield opened
        errors = opened.errors
        opened.close()
    assert errors == []


def test_a_model_is_found_looked_at_and_chosen(notebook: Notebook, hub: Hub) -> None:
    """By keyboard; the registry that hangs holds up nobody; its card is text; offline the same search shows what was said before."""
    panel, keys = notebook.panel(), notebook.page.keyboard
    assert hub.asked == []
    panel.get_by_role("searchbox").focus()
    keys.type("tiny")
    keys.press("Enter")
    rows = panel.locator(".ps-models-table tbody tr")
    tiny = panel.get_by_role("button", name="org/tiny-1", exact=True)
    expect(tiny).to_be_visible()
    expect(panel.locator(".ps-parts-line li").filter(has_text="Ollama")).to_contain_text("asking")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="org/tiny-1").locator(".ps-badge")).to_have_text("OK")
    expect(rows.filter(has_text="instruct-v0.1")).to_contain_text("gated")
    panel.get_by_label("Fit", exact=True).select_option("ok")
    expect(rows).to_have_count(1)
    panel.get_by_role("button", name="Clear", exact=True).click()
    for width in WIDTHS:
        notebook.resize(panel, width=width, font="16px" if width == 320 else "13px")
        assert notebook.sticking_out(panel) == []

    tiny.focus()
    keys.press("Enter")
    expect(panel.get_by_label("Model card")).to_contain_text("<script>window.stolen=2</script>")
    expect(panel.locator(".ps-needs li")).to_have_count(2)
    expect(panel.locator(".ps-needs li").first).to_contain_text("the smallest GPU for rent is RTX 3080 (10\u202fGiB)")
    expect(panel.get_by_role("heading", name="org/tiny-1")).to_be_focused()
    expect(panel).to_contain_text("Not known: no provider of machines is connected")
    notebook.run(3)
    expect(panel).to_contain_text("fits a GPU on sale from $0.39/h")
    expect(panel.locator(".ps-on-sale li")).to_have_count(1)
    expect(panel.locator(".ps-on-sale li")).to_contain_text("NVIDIA L4, 24\u202fGiB at RunPod")
    expect(panel.locator(".ps-needs li").first).to_contain_text("on sale from $0.39/h on NVIDIA L4")
    for width in WIDTHS:
        notebook.resize(panel, width=width, font="16px" if width == 320 else "13px")
        assert notebook.sticking_out(panel) == []
    panel.get_by_role("button", name="Use this model").click()
    expect(panel.get_by_text("Chosen", exact=True)).to_be_visible()
    keys.press("Escape")
    expect(tiny).to_be_focused()
    expect(rows.filter(has_text="instruct-v0.1")).to_contain_text("too large for what is on sale")
    panel.get_by_label("Fit", exact=True).select_option("sale")
    expect(rows).to_have_count(1)
    panel.get_by_role("button", name="Clear", exact=True).click()
    assert notebook.page.evaluate("() => window.stolen") is None

    notebook.run(1)
    expect(panel.get_by_text("Offline: on a plane")).to_be_visible()
    panel.get_by_role("button", name="Search", exact=True).click()
    stale = panel.locator(".ps-parts-line li").filter(has_text="Hugging Face")
    expect(stale).to_have_attribute("data-state", "offline")
    expect(stale).to_contain_text(re.compile(r"just now|\d+ s ago"))
    expect(tiny).to_be_visible()
    notebook.run(2)
    expect(notebook.page.locator(".jp-OutputArea-output").filter(has_text="chosen org/tiny-1")).to_be_visible()


def test_more_of_a_long_answer_is_shown_and_ordered(notebook: Notebook, hub: Hub) -> None:
    """While another registry hangs: the next page comes behind the first; an order by size asks nobody."""
    panel, keys = notebook.panel(), notebook.page.keyboard
    panel.get_by_role("searchbox").focus()
    keys.type("bulk")
    keys.press("Enter")
    rows = panel.locator(".ps-models-table tbody tr")
    expect(rows).to_have_count(50)
    more = panel.get_by_role("button", name="Show more")
    more.click()
    expect(rows).to_have_count(60)
    expect(rows.nth(59)).to_contain_text("org/bulk-59")
    expect(more).to_have_count(0)
    asked = len(hub.asked)
    panel.get_by_label("Order", exact=True).select_option("parameters")
    expect(rows.first).to_contain_text("org/bulk-59")
    assert len(hub.asked) == asked
