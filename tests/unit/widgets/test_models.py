"""The Models panel against registries on loopback, one of which may hang, with a page at the other end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.connectors.ollama.connector import Ollama
from peft_studio.connectors.runpod.connector import RunPod
from peft_studio.core.ports.offers import Offers
from peft_studio.core.ports.registry import Page, Query
from peft_studio.widgets import models
from tests.emulators.civitai import Site, make_model, serve_civitai
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.unit.core.services.test_offers import offer
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 256,
}  # fmt: skip
CARD = "# Tiny\n<img src=x onerror=alert(1)>\x1b[31m\u202e"


def repo(name: str, parameters: int, **facts: Any) -> Repo:
    files = {"config.json": json.dumps(CONFIG).encode(), "README.md": CARD.encode()}
    return Repo(
        name, files, facts={"pipeline_tag": "text-generation", "safetensors": {"parameters": {"BF16": parameters}, "total": parameters}, **facts}
    )  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Three registries, each with something of that name."""
    hub = Hub(repos=[repo("org/tiny-1", 2_000_000, downloads=9), repo("org/tiny-900b", 900_000_000_000)])
    site = Site(models=[make_model(1, "tiny one", type="LLM")])
    with serve_hub(hub) as address, serve_civitai(site) as civitai, serve_ollama(Daemon([Local("tiny:1")])) as ollama:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("CIVITAI_URL", civitai)
        monkeypatch.setenv("OLLAMA_HOST", ollama)
        yield hub


@pytest.fixture
def studio(tmp_path: Path, hub: Hub) -> Studio:
    """A studio on an empty home."""
    return Studio(home=tmp_path / "home")


@pytest.fixture
def page(studio: Studio, open_browser: OpenBrowser) -> Browser:
    """The page of its Models panel."""
    browser = open_browser(lambda: studio.panel("models"))
    browser.wait(lambda: bool(browser.sections.get("registries")))
    return browser


def rows(page: Browser) -> dict[str, dict[str, Any]]:
    """Results by id."""
    return {row["id"]: row for row in page.sections["rows"]}


def states(page: Browser) -> dict[str, str]:
    """How each registry stands."""
    return {part["name"]: part["state"] for part in page.sections["parts"]}


def search(page: Browser, text: str = "tiny", **asked: Any) -> None:
    """Search, and wait until every registry has answered or will not."""
    assert page.command("search", text=text, **asked)["ok"]
    page.wait(lambda: bool(states(page)) and not {"asking", "late"} & set(states(page).values()))


def test_nothing_is_asked_before_somebody_searches(page: Browser, hub: Hub) -> None:
    """What this machine has is there at once."""
    assert (page.sections["searched"], hub.asked) == (False, [])
    assert rows(page)["smollm2-135m"]["registry"] == "here"
    assert rows(page)["smollm2-135m"]["licence"] == "apache-2.0"


def test_what_the_model_that_comes_along_needs_is_known_before_it_is_unpacked(page: Browser) -> None:
    """In a fresh home, too: its size, its verdict, its memory by method and its shapes."""
    assert rows(page)["smollm2-135m"]["parameters"] == 134_515_008
    assert page.command("details", registry="here", model="smollm2-135m")["ok"]
    page.wait(lambda: page.sections["details"]["state"] == "ready")
    found = page.sections["details"]
    assert [need["name"] for need in found["needs"]] == ["LoRA", "QLoRA"]
    assert ["Layers", "30"] in found["shapes"]
    assert found["fit_basis"] != "How many parameters it has is not known."


def test_one_search_finds_them_all_and_says_what_fits(page: Browser) -> None:
    """A verdict for what can be trained, a reason for what cannot; the best of each registry first."""
    search(page)
    found = rows(page)

    assert states(page) == {"civitai": "answered", "huggingface": "answered", "ollama": "answered"}
    assert (found["org/tiny-1"]["fit"], found["org/tiny-900b"]["fit"]) == ("ok", "wont-fit")
    assert (
        found["tiny:1"]["fit"],
        "cannot" in found["tiny:1"]["reason"] or "can be trained" in found["tiny:1"]["reason"],
    ) == (None, True)
    assert {row["registry"] for row in page.sections["rows"][:3]} == {"civitai", "huggingface", "ollama"}
    assert "smollm2-135m" not in found
    assert page.panel.code.endswith("studio.models('tiny', limit=50)")


def test_a_registry_that_hangs_delays_nobody(page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' results are there while it is still asked."""
    over = threading.Event()
    monkeypatch.setattr(Ollama, "search", lambda self, query: (over.wait(30), Page(models=()))[1])
    page.command("search", text="tiny")
    page.wait(lambda: states(page).get("huggingface") == "answered")

    assert states(page)["ollama"] == "asking"
    assert "org/tiny-1" in rows(page)
    over.set()
    page.wait(lambda: states(page)["ollama"] == "answered")


def test_details_have_the_estimate_and_the_card_as_text(page: Browser, studio: Studio) -> None:
    """Needs with their range here and on a GPU, shapes, files; control characters are gone, markup is only characters."""
    search(page)
    page.command("details", registry="huggingface", model="org/tiny-1")
    found = page.sections["details"]

    assert (found["state"], found["fit"]) == ("ready", "ok")
    assert [one["name"] for one in found["needs"]] == ["LoRA", "QLoRA"]
    assert all(0 < one["low"] <= one["value"] <= one["high"] for one in found["needs"])
    assert {one["gpu"] for one in found["needs"]} == {"RTX 3080 (10\u202fGiB)"}
    assert ["Layers", "2"] in found["shapes"]
    assert found["card"] == "# Tiny\n<img src=x onerror=alert(1)>"
    assert {path for path, _ in found["files"]} == {"README.md", "config.json"}
    assert page.command("use", registry="huggingface", model="org/tiny-1")["ok"]
    assert (studio.session.now.model, page.sections["chosen"]) == ("org/tiny-1", "org/tiny-1")


def test_the_panel_says_what_code_says(page: Browser, studio: Studio) -> None:
    """Of one model on this machine, and knows at once what code has looked up."""
    here = studio.models("tiny-1", registries=["huggingface"], fits="local").fits["huggingface", "org/tiny-1"]
    search(page)
    row = rows(page)["org/tiny-1"]
    assert here.methods
    assert (row["fit"], row["fit_basis"].partition(" needs ")[0]) == (here.fit, here.way)
    page.command("details", registry="huggingface", model="org/tiny-1")
    sheet = studio.model_details("org/tiny-1")
    assert [(one["name"], one["fit"], one["value"]) for one in page.sections["details"]["needs"]] == [
        (one.title, one.fit, float(one.needs.value)) for one in sheet.fit.methods
    ]


def test_the_panel_says_what_is_on_sale(page: Browser, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked before a search; then each row has its verdict, the details their cards; what was seen stays without a network."""
    asked: list[str] = []
    sold = Offers(offers=(offer("runpod", "NVIDIA L4", "0.39"),))
    monkeypatch.setattr(RunPod, "list_offers", lambda self, query: (asked.append("runpod"), sold)[1])
    monkeypatch.setattr(studio._shelf, "_list_ready", lambda: ["runpod"])
    assert asked == []
    search(page)
    words = "too large for what is on sale"
    page.wait(lambda: rows(page)["org/tiny-900b"]["sale_words"] == words)
    found = rows(page)
    assert (found["org/tiny-1"]["sale_fit"], found["org/tiny-1"]["words"]) == ("ok", "fits here")
    assert (found["org/tiny-900b"]["words"], found["tiny:1"]["sale_words"]) == (words, "")
    page.command("details", registry="huggingface", model="org/tiny-1")
    page.wait(lambda: page.sections["details"]["state"] == "ready")
    sale = page.sections["details"]["sale"]
    assert [(row["gpu"], row["provider"], row["price"], row["way"]) for row in sale["rows"]] == [("NVIDIA L4", "RunPod", "$0.39/h", "LoRA")]  # fmt: skip
    assert sale["methods"] == {"LoRA": "$0.39/h on NVIDIA L4", "QLoRA": "$0.39/h on NVIDIA L4"}
    assert sale["words"] == studio.model_details("org/tiny-1").sale.words == "fits a GPU on sale from $0.39/h"
    assert asked == ["runpod"]


def test_more_brings_the_next_page(page: Browser, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind what is there, until there is none."""
    monkeypatch.setattr(models, "LIMIT", 3)
    hub.repos += [repo(f"org/tiny-more-{n}", 10_000 - n, downloads=100 - n) for n in range(6)]
    search(page, "tiny-more", registries=["huggingface"])
    assert [part["more"] for part in page.sections["parts"]] == [True]
    assert page.command("more")["ok"]
    page.wait(lambda: len(page.sections["rows"]) == 6)
    page.wait(lambda: not page.sections["parts"][0]["more"])

    assert [row["id"] for row in page.sections["rows"]] == [f"org/tiny-more-{n}" for n in range(6)]
    asked = list(hub.asked)
    assert page.command("order", sort="parameters")["ok"]
    page.wait(lambda: page.sections["asked"]["sort"] == "parameters")
    assert [row["id"] for row in page.sections["rows"]] == [f"org/tiny-more-{n}" for n in range(5, -1, -1)]
    assert not page.command("order", sort="updated")["ok"]
    assert hub.asked == asked
    assert page.panel.code.endswith("sort='parameters', limit=3)")


def test_what_cannot_be_trained_is_not_chosen(page: Browser, studio: Studio) -> None:
    """Neither by its button nor by a command."""
    reply = page.command("use", registry="ollama", model="tiny:1")

    assert (reply["ok"], studio.session.now.model) == (False, None)
    assert not page.command("details", registry="huggingface", model="org/none")["value"]
    assert page.sections["details"]["state"] == "failed"


def test_offline_shows_what_was_said_before_with_its_age(page: Browser, studio: Studio, hub: Hub) -> None:
    """Nothing is sent, local registries answer as ever, and what was never asked is said so."""
    search(page)
    page.command("details", registry="huggingface", model="org/tiny-1")
    studio.offline, before = "on a plane", list(hub.asked)
    search(page)
    page.command("details", registry="huggingface", model="org/tiny-1")
    parts = {part["name"]: part for part in page.sections["parts"]}

    assert {name: part["state"] for name, part in parts.items()} == {"civitai": "offline", "huggingface": "offline", "ollama": "answered"}  # fmt: skip
    assert (parts["huggingface"]["count"], parts["huggingface"]["as_of"]) == (2, "just now")
    assert "on a plane" in parts["huggingface"]["why_not"]
    assert "org/tiny-1" in rows(page)
    assert page.sections["details"]["as_of"] == "just now"
    search(page, "another")
    assert "org/tiny-1" not in rows(page)
    studio.offline = None
    studio.models("tiny-1")
    studio.offline, before = "on a plane", list(hub.asked)
    search(page, "tiny-1")  # what code has asked, the panel knows
    assert "org/tiny-1" in rows(page)
    assert [row.id for row in studio.models("tiny", registries=["huggingface"])] == ["org/tiny-1", "org/tiny-900b"]
    assert hub.asked == before


def test_the_picture_names_models_as_text(page: Browser, hub: Hub) -> None:
    """A saved notebook shows the results, everything escaped."""
    hub.repos.append(repo("org/tiny-<b>", 3_000_000))
    search(page)
    bundle = page.panel._repr_mimebundle_()

    assert bundle["text/plain"] == "ModelsPanel('tiny')"
    assert "org/tiny-&lt;b&gt;" in bundle["text/html"]
    assert "<b>" not in bundle["text/html"]


def test_a_query_is_checked(page: Browser) -> None:
    """Words for a person instead of a validation error."""
    assert page.command("search", text="x" * 300)["problem"]["hint"] == "Use at most 200 characters."
    assert not page.command("search", registries=["nowhere"])["ok"]
    assert Query().text == ""
