"""The Connect panel in JupyterLab, used through a real browser, against a hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import WebSocket, expect

from tests.emulators.hub import Hub, serve_hub
from tests.made_run import RUN_ID, write_made_run
from tests.ui.lab import PATIENCE_MS, Lab, Notebook
from tests.unit._studio.test_publish import account

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)
TOKEN = "hf_" + "c4nary" * 6
WRONG = "r8_" + "W5ong" * 7 + "xy"
HOSTILE = "<img src=x onerror='window.stolen=1'>"
SHOW = """
import os
os.environ.update(HF_ENDPOINT={hub!r}, OLLAMA_HOST="127.0.0.1:9", CIVITAI_URL="http://127.0.0.1:9")
os.environ.pop("HF_TOKEN", None)
from peft_studio import Studio
studio = Studio(home={home!r})
studio.show("connect")
"""
QUEUE = """_ = studio._queue("huggingface:me/<b>adapter</b>", "upload", {"x": "y" * 3000}, id="e1")"""
PUSH = f"""
studio.offline = "on a train"
_ = studio.push({RUN_ID!r}, to="huggingface", repo="me/x", confirm=True)
"""
STATE = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connect") / "home"


class Wire:
    """What went over the page's sockets since it was loaded."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.sent: list[bytes] = []

    def listen(self, socket: WebSocket) -> None:
        """Keep every frame of a socket."""
        socket.on("framereceived", lambda frame: self.heard.append(_bytes(frame)))
        socket.on("framesent", lambda frame: self.sent.append(_bytes(frame)))


def _bytes(frame: str | bytes) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def hub() -> Hub:
    return Hub(accounts={TOKEN: {"type": "user", "name": HOSTILE, "auth": {"accessToken": {"role": "write"}}}})


@pytest.fixture(scope="module")
def notebook(lab: Lab, home: Path, wire: Wire, hub: Hub) -> Iterator[Notebook]:
    """One notebook for all tests here."""
    with serve_hub(hub) as address:
        cells = [SHOW.format(hub=address, home=str(home)), QUEUE, PUSH, "studio.vault.lock()"]
        lab.write(cells, name="connect.ipynb")
        page = lab.browser.new_page(viewport={"width": 1700, "height": 1200})
        page.set_default_timeout(PATIENCE_MS)

        page.on("websocket", wire.listen)  # before there is one
        opened = Notebook(page, f"{lab.address}/lab/tree/connect.ipynb?reset")
        opened.load()
        opened.run(0)
        expect(opened.panel().locator("[data-name=huggingface]")).to_be_visible()
        yield opened
        errors = opened.errors
        opened.close()
    assert errors == []


def test_a_typed_key_is_nowhere_but_in_the_vault(notebook: Notebook, lab: Lab, home: Path, wire: Wire) -> None:
    """By keyboard: another platform's key is told and not sent, the right one connects. Neither is in the saved notebook, the widgets' state,
    what the kernel said, the page's storage, the page itself or a file."""
    panel, keys, card = notebook.panel(), notebook.page.keyboard, notebook.panel().locator("[data-name=huggingface]")
    panel.get_by_role("button", name="Connect, Hugging Face").focus()
    keys.press("Enter")
    field = panel.get_by_label("Access token of Hugging Face")
    expect(field).to_be_focused()
    keys.type(WRONG)
    keys.press("Enter")
    expect(card.get_by_role("alert")).to_contain_text("looks like a Replicate token")
    expect(field).to_have_value("")
    field.focus()
    keys.type(TOKEN)
    keys.press("Enter")
    expect(card.locator(".ps-state")).to_have_text("Connected")
    expect(card).to_contain_text(HOSTILE)
    expect(card.get_by_role("button", name="Test, change, disconnect, Hugging Face")).to_be_focused()
    panel.get_by_role("button", name="Show code").click()
    expect(panel.get_by_label("The same in Python")).to_contain_text(
        "studio.connect('huggingface')\nstudio.connections()"
    )

    notebook.page.evaluate("name => window.jupyterapp.commands.execute(name)", STATE)
    saved = notebook.save()
    storage = notebook.page.context.storage_state(indexed_db=True)
    session = notebook.page.evaluate("() => JSON.stringify(sessionStorage)")
    shown = notebook.page.content() + notebook.page.evaluate(
        "() => [...document.querySelectorAll('input')].map(one => one.value).join()"
    )
    files = [path for folder in (home, lab.folder) for path in folder.rglob("*") if path.is_file()]
    places = {
        "notebook and widget state": json.dumps(saved), "storage": json.dumps(storage), "session": session, "page": shown,
        "kernel": b"".join(wire.heard).decode("latin-1"), "files": b"".join(path.read_bytes() for path in files).decode("latin-1"),
    }  # fmt: skip

    assert "application/vnd.jupyter.widget-state+json" in json.dumps(saved["metadata"])
    assert HOSTILE in places["kernel"]  # what it did say is found there
    assert TOKEN in b"".join(wire.sent).decode("latin-1")  # and the one right message, the other way
    assert {name for name, text in places.items() if TOKEN in text or WRONG in text} == set()
    assert notebook.page.evaluate("() => window.stolen") is None


def test_offline_what_waits_is_shown_and_dropped_after_a_question(notebook: Notebook) -> None:
    """One click takes the network away and gives it back; a platform that does not answer says what to do."""
    panel = notebook.panel()
    panel.get_by_role("button", name="Work offline").click()
    expect(panel.get_by_text("You work offline")).to_be_visible()
    notebook.run(1)
    waiting = panel.locator(".ps-entries > li")
    expect(waiting).to_contain_text("huggingface:me/<b>adapter</b>")
    expect(waiting).to_contain_text("next try when the network is back")
    panel.get_by_role("button", name="Connect, Civitai").click()
    panel.get_by_role("button", name="Connect without a key").click()
    expect(panel.locator("[data-name=civitai]").get_by_role("alert")).to_contain_text(
        "needs the network, and you are offline"
    )
    for width in WIDTHS:
        notebook.resize(panel, width=width, font="16px" if width == 320 else "13px")
        assert notebook.sticking_out(panel) == []

    panel.get_by_role("button", name="Go online").click()
    expect(panel.get_by_text("You work offline")).to_have_count(0)
    panel.get_by_role("button", name="Drop upload").click()
    dialog = panel.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Drop", exact=True).click()
    expect(waiting).to_have_count(0)
    expect(panel.get_by_text("Nothing waits.")).to_be_visible()


def test_what_was_refused_is_sent_on_a_click(notebook: Notebook, hub: Hub, home: Path) -> None:
    """A push that waited and was refused stays with its reason; once the key may write, *Try again* brings it there."""
    panel, entry = notebook.panel(), notebook.panel().locator(".ps-entries > li")
    write_made_run(home)
    hub.accounts[TOKEN] = account("read")
    notebook.run(2)
    expect(entry).to_contain_text("next try when the network is back")
    panel.get_by_role("button", name="Go online").click()
    expect(entry).to_have_attribute("data-state", "dead")
    expect(entry).to_contain_text("does not let this key do that")
    assert hub.find("models", "me/x") is None

    hub.accounts[TOKEN] = account("write")
    panel.get_by_role("button", name="Try again, upload to huggingface:me/x").click()
    expect(entry).to_have_count(0)
    assert hub.find("models", "me/x") is not None


def test_a_passphrase_guards_the_keys_and_unlocks_them(notebook: Notebook) -> None:
    """Typed twice; afterwards what asked for it is closed. Locked, a wrong one is told and the right one opens."""
    panel = notebook.panel()
    panel.get_by_role("button", name="More", exact=True).click()
    panel.get_by_label("Passphrase", exact=True).fill("correct horse")
    panel.get_by_label("Passphrase once more").fill("correct mouse")
    panel.get_by_role("button", name="Guard the keys").click()
    expect(panel.locator(".ps-vault").get_by_role("alert")).to_contain_text("The two differ")
    panel.get_by_label("Passphrase", exact=True).fill("correct horse")
    panel.get_by_label("Passphrase once more").fill("correct horse")
    panel.get_by_role("button", name="Guard the keys").click()
    expect(panel.get_by_text("Keys are kept behind a passphrase")).to_be_visible()
    expect(panel.locator(".ps-vault")).to_have_count(0)

    notebook.run(3)
    panel.get_by_role("button", name="Unlock", exact=True).click()
    section = panel.locator(".ps-vault")
    section.get_by_label("Passphrase", exact=True).fill("battery staple")
    section.get_by_role("button", name="Unlock", exact=True).click()
    expect(section.get_by_role("alert")).to_be_visible()
    section.get_by_label("Passphrase", exact=True).fill("correct horse")
    notebook.page.keyboard.press("Enter")
    expect(section).to_have_count(0)
    expect(panel.locator("[data-name=huggingface] .ps-state")).to_have_text("Connected")
