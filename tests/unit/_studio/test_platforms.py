"""The studio's face of platforms, against emulators of all three registries at once."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio._studio import asking
from peft_studio.connectors.base import door, patience
from peft_studio.core.errors import SpecError, StudioError
from tests.emulators.civitai import Site, make_model, serve_civitai
from tests.emulators.hub import Hub, Repo, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama

TOKEN = "hf_" + "a" * 34
REPO = Repo(
    "org/smollm2",
    {"config.json": b"{}"},
    facts={"pipeline_tag": "text-generation", "downloads": 7, "cardData": {"license": "mit"}},
)


class World:
    def __init__(self) -> None:
        self.hub = Hub(
            repos=[REPO], accounts={TOKEN: {"name": "ann", "type": "user", "auth": {"accessToken": {"role": "read"}}}}
        )
        self.site = Site(models=[make_model(1, "smollm2 talker", type="LLM")])
        self.daemon = Daemon(models=[Local("smollm2:135m")])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.setattr(door, "pause", lambda wait_s: None)
    monkeypatch.delenv("PEFT_STUDIO_CONNECTORS", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    made = World()
    with ExitStack() as stack:
        monkeypatch.setenv("HF_ENDPOINT", stack.enter_context(serve_hub(made.hub)))
        monkeypatch.setenv("CIVITAI_URL", stack.enter_context(serve_civitai(made.site)))
        monkeypatch.setenv("OLLAMA_HOST", stack.enter_context(serve_ollama(made.daemon)))
        yield made


@pytest.fixture
def studio(world: World, tmp_path: Path) -> Studio:
    return Studio(home=tmp_path)


def test_models_of_all_registries_in_one_table(studio: Studio) -> None:
    """Without any connection: the three that need no key, merged."""
    found = studio.models("smollm")

    assert [(row.registry, row.id) for row in found] == [
        ("civitai", "1"),
        ("huggingface", "org/smollm2"),
        ("ollama", "smollm2:135m"),
    ]
    assert "org/smollm2" in repr(found)
    assert "smollm2 talker (1)" in found._repr_html_()
    assert [row.registry for row in studio.models("smollm", registries=["ollama"])] == ["ollama"]
    assert studio.model_details("org/smollm2").model.licence == "mit"


def test_fits_says_whether_a_model_can_be_trained(studio: Studio, world: World) -> None:
    """Here, or on a card; "unknown" where the registry shows no shapes; a card that is not known is said before anybody is asked."""
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "vocab_size": 1000,
    }
    world.hub.repos = [Repo(REPO.id, {"config.json": json.dumps(config).encode()}, facts=REPO.facts)]
    found = studio.models("smollm", fits="H100")

    assert {key: fit.fit for key, fit in found.fits.items()} == {
        ("civitai", "1"): "unknown",
        ("huggingface", "org/smollm2"): "ok",
        ("ollama", "smollm2:135m"): "unknown",
    }
    assert "fits H100" in repr(found)
    assert "ok (LoRA)" in repr(found)
    here = studio.models("smollm", fits="local", registries=["huggingface"])
    assert "fits here" in here._repr_html_()
    sheet = studio.model_details("org/smollm2")
    assert sheet.fit.fit == here.fits["huggingface", "org/smollm2"].fit
    assert "for rent: fits an RTX 3080 (10 GiB) with LoRA or QLoRA" in repr(sheet)
    asked = len(world.hub.asked)
    with pytest.raises(StudioError, match="no compute 'H1OO'"):
        studio.models("smollm", fits="H1OO")
    assert len(world.hub.asked) == asked


def test_more_brings_further_pages_and_their_fits(studio: Studio, world: World) -> None:
    """As many again, behind those that are there; sizes are compared among what was found."""
    for number in range(30):
        facts = {
            **REPO.facts,
            "downloads": 1000 - number,
            "safetensors": {"parameters": {"F32": 1000 - number}, "total": 1000 - number},
        }
        world.hub.repos.append(Repo(f"org/smollm2-{number}", {}, facts=facts))
    first = studio.models("smollm2-", registries=["huggingface"], limit=12, fits="A100")
    second = first.more()

    assert [row.id for row in second] == [f"org/smollm2-{number}" for number in range(24)]
    assert len(second.fits) == 24
    assert "fits A100" in repr(second)
    assert [second.has_more, len(second.more()), second.more().has_more] == [True, 30, False]
    smallest = studio.models("smollm2-", registries=["huggingface"], limit=3, sort="size")
    assert [row.size_bytes for row in smallest] == [4 * 998, 4 * 999, 4 * 1000]  # among the three most downloaded


def test_without_a_network_it_shows_what_was_said_before(studio: Studio, world: World) -> None:
    """With its age; nothing is sent to the hub, and a model's details are there, too."""
    found = studio.models("smollm", fits="A100")
    studio.model_details("org/smollm2")
    studio.offline = "on a plane"
    asked = list(world.hub.asked)
    before = studio.models("smollm", fits="A100")

    assert [row.id for row in before] == [row.id for row in found]
    assert before.age(before[1]) == "just now"
    assert "huggingface: Hugging Face needs the network" in repr(before)
    assert before.fits == found.fits
    assert repr(studio.model_details("org/smollm2")).startswith("org/smollm2 (huggingface), just now")
    assert world.hub.asked == asked


@pytest.mark.parametrize("leave", ["disconnect", "disable"])
def test_what_an_account_saw_goes_with_it(studio: Studio, world: World, tmp_path: Path, leave: str) -> None:
    """A private repository found with a key is in no file once the platform is disconnected, or disabled."""
    world.hub.repos.append(
        Repo("org/secret-smollm", {"config.json": b"{}"}, facts=REPO.facts, private=True, readers=frozenset({TOKEN}))
    )
    studio.connect("huggingface", token=TOKEN, keep=False)
    assert "org/secret-smollm" in repr(studio.models("smollm", registries=["huggingface"]))
    studio.model_details("org/secret-smollm")
    studio.models("smollm", registries=["ollama"])
    holds = lambda word: [path for path in tmp_path.rglob("*") if path.is_file() and word in path.read_bytes()]  # noqa: E731
    assert len(holds(b"secret-smollm")) == 2

    getattr(studio, leave)("huggingface")

    assert holds(b"secret-smollm") == []
    assert holds(b"smollm2:135m") != []


def test_a_registry_that_is_down_leaves_the_others(studio: Studio, world: World) -> None:
    """Its reason stands below the table."""
    world.hub.down = True
    found = studio.models("smollm")

    assert {row.registry for row in found} == {"civitai", "ollama"}
    assert "huggingface: Hugging Face has trouble of its own (503)" in repr(found)


def test_connect_list_disconnect(studio: Studio, tmp_path: Path) -> None:
    """One row a platform, and no key in what is shown or in what is written in the open."""
    studio.connect("huggingface", token=TOKEN, keep=False)
    shown = repr(studio.connections())

    assert "connected      ann" in shown
    assert TOKEN not in shown + studio.connections()._repr_html_()
    assert list(json.loads((tmp_path / "connections.json").read_text())) == ["huggingface"]
    assert {row.registry for row in studio.models("smollm")} == {"huggingface"}
    studio.disconnect("huggingface")
    assert "ann" not in repr(studio.connections())


def test_a_key_that_is_no_text_is_named(studio: Studio) -> None:
    """By its field, and never quoted; nothing is sent."""
    with pytest.raises(SpecError, match="huggingface: token is to be given as text, or as a Secret") as refused:
        studio.connect("huggingface", token=12345678)  # type: ignore[arg-type]
    assert refused.value.fields == ("token",)
    assert "12345678" not in str(refused.value)


def test_disable_hides_everywhere(studio: Studio, tmp_path: Path) -> None:
    """From the list, from searches, in another studio on the same home; enable brings it back."""
    studio.disable("civitai")
    other = Studio(home=tmp_path)

    assert "civitai" not in repr(other.connections())
    assert {row.registry for row in other.models("smollm")} == {"huggingface", "ollama"}
    with pytest.raises(StudioError, match="no registry 'civitai'"):
        other.models("smollm", registries=["civitai"])
    other.enable("civitai")
    assert "civitai" in repr(studio.connections())


def test_a_wrong_search_says_which_part(studio: Studio) -> None:
    """Every value at fault is named."""
    with pytest.raises(StudioError, match=r"sort: .*; limit: "):
        studio.models(sort="best", limit=0)  # type: ignore[arg-type]


def test_keys_are_asked_for_where_somebody_sits(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unseen; a variable of the environment is offered and taken on a yes alone; a script is not stopped."""
    asked: list[str] = []

    def answer(prompt: str, given: str) -> str:
        asked.append(prompt)
        return given

    assert studio.connect("huggingface").account.name == "nobody"  # type: ignore[union-attr]
    monkeypatch.setattr(asking, "somebody_is_here", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: answer(prompt, f" {TOKEN}\n"))
    assert studio.connect("huggingface").account.name == "ann"  # type: ignore[union-attr]
    assert "Access token for Hugging Face" in asked[0]
    assert "Enter for none" in asked[0]

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: answer(prompt, ""))
    for said, name in (("y", "ann"), ("", "nobody")):
        monkeypatch.setattr("builtins.input", lambda prompt, said=said: answer(prompt, said))
        assert studio.connect("huggingface").account.name == name  # type: ignore[union-attr]
    assert "HF_TOKEN" in asked[1]
    assert TOKEN not in "".join(asked)


def test_panels_and_search_need_no_platform_to_start(tmp_path: Path) -> None:
    """A studio that connects nothing writes nothing and asks nobody."""
    made: Any = Studio(home=tmp_path)
    assert "Studio(" in repr(made)
    assert list(tmp_path.iterdir()) == []
