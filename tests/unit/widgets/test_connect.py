"""The Connect panel against a hub and an Ollama on loopback, with a page at the other end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.redact import Secret
from tests.emulators.hub import Hub, serve_hub
from tests.emulators.ollama import Daemon, Local, serve_ollama
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]
TOKEN, UNKNOWN = "hf_" + "k3y" * 12, "hf_" + "n0t" * 12
REPLICATE = "r8_" + "Z9" * 18 + "Q"
ACCOUNT = {"type": "user", "name": "ann <b>", "auth": {"accessToken": {"role": "read"}}}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that knows one token, and a daemon of Ollama's."""
    hub = Hub(accounts={TOKEN: ACCOUNT})
    with serve_hub(hub) as address, serve_ollama(Daemon(models=[Local("tiny:1")])) as daemon:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("OLLAMA_HOST", daemon)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture
def studio(tmp_path: Path, hub: Hub) -> Studio:
    """A studio on an empty home."""
    return Studio(home=tmp_path / "home")


@pytest.fixture
def page(studio: Studio, open_browser: OpenBrowser) -> Browser:
    """The page of its Connect panel, once it shows platforms."""
    browser = open_browser(lambda: studio.panel("connect"))
    browser.wait(lambda: "platforms" in browser.sections)
    return browser


def card(page: Browser, name: str) -> dict[str, Any]:
    """What the page shows of a platform."""
    found: dict[str, Any] = next(one for one in page.sections["platforms"] if one["name"] == name)
    return found


def test_every_platform_of_the_catalog_is_a_card(page: Browser) -> None:
    """With its state, what it takes, and where keys would be kept; nothing is asked of anybody, and no outbox is made."""
    hub = card(page, "huggingface")

    assert {one["name"] for one in page.sections["platforms"]} >= {"huggingface", "ollama", "civitai"}
    assert (hub["state"], hub["free"], hub["roles"], hub["account"]) == ("not connected", True, ["registry"], None)
    assert [(field["name"], field["secret"], field["offered"]) for field in hub["fields"]] == [("token", True, [])]
    assert page.sections["tier"]["sentence"]
    assert page.sections["outbox"]["summary"] == "Nothing waits."


def test_a_key_is_proved_kept_and_never_said_again(page: Browser, studio: Studio, hub: Hub) -> None:
    """Not in a section, a reply, the code, a picture or the widget's state."""
    reply = page.command("connect", platform="huggingface", values={"token": f" {TOKEN}\n"})
    shown = card(page, "huggingface")

    assert (reply["ok"], reply["value"]) == (True, True)
    assert (shown["state"], shown["account"]["name"], shown["account"]["can_write"]) == ("connected", "ann <b>", False)
    assert studio.vault.get("huggingface") == Secret(TOKEN)
    bundle = page.panel._repr_mimebundle_()
    everything = json.dumps([page.sections, page.replies, bundle, page.panel.get_state()], default=str)
    assert TOKEN not in everything
    assert "studio.connect('huggingface')" in page.panel.code
    assert "ann &lt;b&gt;" in bundle["text/html"]


@pytest.mark.parametrize(
    ("key", "kind", "words"),
    [(UNKNOWN, "refused", "does not know"), (REPLICATE, "other", "Replicate token")],
    ids=["unknown", "of another platform"],
)
def test_a_key_that_is_not_taken_says_why(page: Browser, hub: Hub, key: str, kind: str, words: str) -> None:
    """On the card with steps to take, without the key; one of another platform's looks is not sent at all."""
    reply = page.command("connect", platform="huggingface", values={"token": key})
    problem = card(page, "huggingface")["problem"]

    assert (reply["ok"], reply["value"]) == (True, False)
    assert (problem["kind"], words in problem["message"]) == (kind, True)
    assert len(problem["steps"]) == (2 if kind == "refused" else 0)
    assert key not in json.dumps([page.sections, page.replies])
    assert (hub.asked == []) == (key == REPLICATE)
    assert page.command("connect", platform="huggingface", values={"token": TOKEN})["value"]
    assert card(page, "huggingface")["problem"] is None


def test_what_the_environment_holds_is_offered_and_taken_on_a_click(
    page: Browser, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value stays where it is until then; variables that no field names cannot be had."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("CIVITAI_TOKEN", REPLICATE)
    page.command("go_online")
    page.panel.content._source.look()
    page.wait(lambda: bool(card(page, "huggingface")["fields"][0]["offered"]))

    assert card(page, "huggingface")["fields"][0]["offered"] == [{"variable": "HF_TOKEN", "wrong": ""}]
    assert "Replicate" in card(page, "civitai")["fields"][0]["offered"][0]["wrong"]
    assert studio.vault.get("huggingface") is None
    assert not page.command("connect", platform="huggingface", env={"token": "PATH"})["ok"]
    assert page.command("connect", platform="huggingface", env={"token": "HF_TOKEN"})["value"]
    assert studio.vault.get("huggingface") == Secret(TOKEN)
    assert TOKEN not in json.dumps([page.sections, page.replies])


def test_disconnected_and_switched_off(page: Browser, studio: Studio) -> None:
    """Keys are gone; a card that is off stays, to be switched on again."""
    page.command("connect", platform="huggingface", values={"token": TOKEN})
    page.command("disconnect", platform="huggingface")
    assert (card(page, "huggingface")["state"], studio.vault.get("huggingface")) == ("not connected", None)

    page.command("disable", platform="civitai")
    assert card(page, "civitai")["state"] == "off"
    page.command("enable", platform="civitai")
    assert card(page, "civitai")["state"] == "not connected"


def test_offline_nothing_is_asked(page: Browser, hub: Hub, studio: Studio) -> None:
    """But of this machine; the card says so, and going online ends it."""
    page.command("go_offline")
    before = list(hub.asked)
    page.command("connect", platform="huggingface", values={"token": TOKEN})

    assert page.sections["network"] == {"offline": True, "reason": "", "by_hand": True}
    assert card(page, "huggingface")["problem"]["kind"] == "offline"
    assert hub.asked == before
    assert page.command("connect", platform="ollama")["value"]
    page.command("go_online")
    assert (page.sections["network"]["offline"], studio.offline) == (False, False)


def test_the_outbox_shows_what_waits_and_drops_it(page: Browser, studio: Studio) -> None:
    """Target, kind, since when and why; never what is in it."""
    studio.offline = "on a plane"
    entry = studio._queue("huggingface:me/<b>", "upload", {"secret": "p4yload"}, id="e1")
    page.wait(lambda: bool(page.sections["outbox"]["entries"]))
    shown = page.sections["outbox"]["entries"][0]

    assert (shown["id"], shown["target"], shown["state"]) == (entry.id, "huggingface:me/<b>", "waiting")
    assert page.sections["outbox"]["summary"] == "1 upload waits for the network."
    assert "p4yload" not in json.dumps(page.sections)
    assert page.command("drop", entry_id="e1")["ok"]
    assert page.sections["outbox"]["entries"] == []


def test_a_passphrase_guards_the_keys_and_unlocks_them(page: Browser, studio: Studio) -> None:
    """Where no keystore is; a wrong one is told, and none is repeated."""
    page.command("connect", platform="huggingface", values={"token": TOKEN})
    assert page.sections["tier"]["name"] == "process"
    assert page.command("guard", passphrase="correct horse")["ok"]
    assert (page.sections["tier"]["name"], page.sections["tier"]["open"]) == ("passphrase", True)

    studio.vault.lock()
    page.wait(lambda: not page.sections["tier"]["open"])
    wrong = page.command("unlock", passphrase="battery staple")
    assert (wrong["ok"], page.sections["tier"]["open"]) == (False, False)
    assert page.command("unlock", passphrase="correct horse")["ok"]
    assert card(page, "huggingface")["state"] == "connected"
    assert "horse" not in json.dumps([page.sections, page.replies])


def test_switches_that_cannot_be_read_are_said(tmp_path: Path, hub: Hub, open_browser: OpenBrowser) -> None:
    """In the panel, for as long as it lasts, and then the platforms are there."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "connectors.json").write_text("{")
    page = open_browser(lambda: Studio(home=home).panel("connect"))
    page.wait(lambda: bool(page.sections.get("problem")))

    assert "nobody knows which connectors are disabled" in page.sections["problem"]["message"]
    (home / "connectors.json").unlink()
    page.wait(lambda: "platforms" in page.sections and not page.sections.get("problem"))
