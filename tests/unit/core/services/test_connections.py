"""Connecting: proved by a real call, kept in a vault, and never half done. Against a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peft_studio.connectors.base import patience
from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import BadConnector, NotAuthorised, StudioError, Unavailable, VaultError
from peft_studio.core.ports import Account, KeyField, Role
from peft_studio.core.redact import Redactor, Secret
from peft_studio.core.services.connections import Connections, vault_name
from peft_studio.core.vault import Vault
from tests.emulators.hub import Hub, serve_hub
from tests.emulators.ollama import Daemon, serve_ollama
from tests.unit.connectors.catalog.hostile import make_info
from tests.unit.core.vault.conftest import MemoryKeystore

TOKEN, OTHER = "hf_" + "a" * 34, "hf_" + "b" * 34


def account(name: str) -> dict[str, object]:
    return {"type": "user", "name": name, "auth": {"accessToken": {"role": "write"}}}


@pytest.fixture
def hub() -> Hub:
    return Hub(accounts={TOKEN: account("ann"), OTHER: account("bob")})


@pytest.fixture(autouse=True)
def endpoint(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(patience, "_paces", {})
    monkeypatch.delenv("PEFT_STUDIO_CONNECTORS", raising=False)
    with serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield


@pytest.fixture
def keystore() -> MemoryKeystore:
    return MemoryKeystore()


class Process:
    """Another process's view of one home."""

    def __init__(self, home: Path, keystore: MemoryKeystore) -> None:
        self.vault = Vault(home / "vault", keystore=keystore, redactor=Redactor())
        self.catalog = Catalog(home)
        self.connections = Connections(home, self.vault, self.catalog)

    def row(self, name: str, *, check: bool = False) -> str:
        return next(
            f"{row.state} {row.account.name if row.account else '-'}"
            for row in self.connections.list_all(check=check)
            if row.name == name
        )

    def ask(self) -> str:
        self.connections.make_ready("huggingface")
        return self.catalog.call("huggingface", Account, lambda one: one.connect(), deadline_s=10).name


@pytest.fixture
def process(tmp_path: Path, keystore: MemoryKeystore) -> Process:
    return Process(tmp_path, keystore)


def test_a_key_is_proved_and_then_kept(process: Process, tmp_path: Path, keystore: MemoryKeystore) -> None:
    """The account is known, another process is connected too, and no file has the key in it."""
    assert process.row("huggingface") == "not connected -"

    made = process.connections.connect("huggingface", {"token": Secret(TOKEN)})

    assert (made.state, made.account and made.account.name) == ("connected", "ann")
    assert TOKEN not in f"{made!r} {process.connections.list_all()!r} {process.connections.list_all()._repr_html_()}"
    assert process.vault.get("huggingface") == Secret(TOKEN)
    other = Process(tmp_path, keystore)
    assert (other.row("huggingface"), other.ask()) == ("connected ann", "ann")
    assert all(TOKEN.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_wrong_key_changes_nothing(process: Process) -> None:
    """The one before stays connected and in use."""
    process.connections.connect("huggingface", {"token": Secret(TOKEN)})

    with pytest.raises(NotAuthorised):
        process.connections.connect("huggingface", {"token": Secret("hf_" + "c" * 34)})

    assert (process.row("huggingface"), process.ask()) == ("connected ann", "ann")
    assert process.vault.get("huggingface") == Secret(TOKEN)


def test_another_platforms_key_is_not_sent(process: Process, hub: Hub) -> None:
    """It is told by its looks, and the error does not repeat it."""
    key = "r8_" + "d" * 37
    with pytest.raises(NotAuthorised, match="looks like a Replicate token") as caught:
        process.connections.connect("huggingface", {"token": Secret(key)})
    assert key not in str(caught.value)
    assert hub.asked == []


def test_disconnect_forgets(process: Process, tmp_path: Path, keystore: MemoryKeystore) -> None:
    """In the vault, in the list, in use, and for other processes; twice is once."""
    process.connections.connect("huggingface", {"token": Secret(TOKEN)})
    for _ in range(2):
        process.connections.disconnect("huggingface")

    assert (process.row("huggingface"), process.ask()) == ("not connected -", "nobody")
    assert process.vault.get("huggingface") is None
    assert Process(tmp_path, keystore).row("huggingface") == "not connected -"


def test_a_key_for_this_process_alone_is_not_found_by_another(
    process: Process, tmp_path: Path, keystore: MemoryKeystore
) -> None:
    """Which says why."""
    process.connections.connect("huggingface", {"token": Secret(TOKEN)}, keep=False)
    other = Process(tmp_path, keystore)

    assert (process.row("huggingface"), other.row("huggingface")) == ("connected ann", "not connected ann")
    assert "another process alone" in repr(other.connections.list_all()[1])


def test_connecting_again_without_a_key_drops_it(process: Process) -> None:
    """What is kept is what was given last."""
    process.connections.connect("huggingface", {"token": Secret(TOKEN)})
    assert process.connections.connect("huggingface", {}).account == process.connections.list_all()[1].account
    assert (process.ask(), process.vault.get("huggingface")) == ("nobody", None)
    process.connections.connect("huggingface", {"token": Secret(OTHER)})
    assert process.ask() == "bob"


def test_check_asks_again_and_says_what_is_wrong(
    process: Process, hub: Hub, tmp_path: Path, keystore: MemoryKeystore
) -> None:
    """A key that was revoked shows as failed with the reason; the account stays for reference."""
    process.connections.connect("huggingface", {"token": Secret(TOKEN)})
    del hub.accounts[TOKEN]
    other = Process(tmp_path, keystore)

    assert other.row("huggingface") == "connected ann"
    assert other.row("huggingface", check=True) == "failed ann"
    row = next(row for row in other.connections.list_all(check=True) if row.name == "huggingface")
    assert "does not know this token" in row.why_not


def test_one_is_checked_alone(process: Process, hub: Hub, tmp_path: Path, keystore: MemoryKeystore) -> None:
    """What it says now is kept; what is wrong is raised, and one that was never connected says so."""
    process.connections.connect("huggingface", {"token": Secret(TOKEN)})
    hub.accounts[TOKEN] = account("ann2")
    checked = Process(tmp_path, keystore).connections.check("huggingface")

    assert (checked.state, checked.account.name if checked.account else None) == ("connected", "ann2")
    assert Process(tmp_path, keystore).row("huggingface") == "connected ann2"
    del hub.accounts[TOKEN]
    with pytest.raises(NotAuthorised):
        Process(tmp_path, keystore).connections.check("huggingface")
    with pytest.raises(StudioError, match="is not connected"):
        process.connections.check("civitai")


def test_a_keystore_that_is_away_is_the_reason(process: Process, keystore: MemoryKeystore, tmp_path: Path) -> None:
    """The list still comes; the platform shows as failed."""
    process.connections.connect("huggingface", {"token": Secret(TOKEN)})
    keystore.away = "none runs here"
    other = Process(tmp_path, keystore)

    assert other.row("huggingface", check=True) == "failed ann"
    with pytest.raises(VaultError):
        other.connections.make_ready("huggingface")


def test_an_address_is_a_setting_and_no_secret(process: Process, tmp_path: Path, keystore: MemoryKeystore) -> None:
    """Ollama's address is kept in the open, and used by other processes."""
    with serve_ollama(Daemon()) as address:
        process.connections.connect("ollama", {"host": Secret(address)})
        assert Process(tmp_path, keystore).row("ollama", check=True) == f"connected {address}"
    assert address in (tmp_path / "connections.json").read_text()
    assert process.vault.names() == []
    with pytest.raises(StudioError, match="does not look like the address"):
        process.connections.connect("ollama", {"host": Secret("not an address")})


def test_what_cannot_be_connected_says_why(process: Process, tmp_path: Path) -> None:
    """An unknown platform, an unknown field, a disabled platform, a missing key, nobody there."""
    connect = process.connections.connect
    with pytest.raises(StudioError, match="no connector 'hugginface'") as caught:
        connect("hugginface", {})
    assert "'huggingface'" in caught.value.hint
    with pytest.raises(StudioError, match="no field 'tokn'") as caught:
        connect("huggingface", {"tokn": TOKEN})
    assert "'token'" in caught.value.hint
    process.catalog.disable("huggingface")
    with pytest.raises(StudioError, match="is disabled"):
        connect("huggingface", {})
    with pytest.raises(Unavailable):
        connect("ollama", {"host": Secret("127.0.0.1:9")})

    info = make_info("strict", keys=(KeyField(name="key", title="Key"),))
    strict = Connections(tmp_path, process.vault, Catalog(tmp_path, sources=[Source("strict", "test", lambda: info)]))
    with pytest.raises(StudioError, match="needs its key"):
        strict.connect("strict", {})
    assert strict.list_ready(Role.REGISTRY) == []


def test_ready_are_the_connected_or_those_without_a_key(process: Process) -> None:
    """So that a search without any connection finds something, and one with connections asks those alone."""
    assert process.connections.list_ready(Role.REGISTRY) == ["civitai", "huggingface", "ollama"]
    process.connections.connect("huggingface", {"token": Secret(TOKEN)})
    assert process.connections.list_ready(Role.REGISTRY) == ["huggingface"]


def test_a_connector_that_misbehaved_shows_why(process: Process) -> None:
    """Whether or not it is connected, until it has answered well again."""

    def misbehave(connector: object) -> object:
        raise ValueError("oh")

    process.connections.connect("huggingface", {"token": Secret(TOKEN)})
    with pytest.raises(BadConnector):
        process.catalog.call("huggingface", Account, misbehave, deadline_s=5)
    assert process.row("huggingface") == "failed ann"
    assert "ValueError: oh" in process.connections.list_all()[1].why_not
    process.ask()
    assert process.row("huggingface") == "connected ann"


def test_names_in_the_vault() -> None:
    """A token or key goes by the platform's name; the second of a pair by its own."""
    info = make_info("modal")
    names = [vault_name(info, KeyField(name=name, title="x")) for name in ("token", "key", "id", "data_plane")]
    assert names == ["modal", "modal", "modal.id", "modal.data-plane"]


def test_who_listens_hears_of_another_account(process: Process, tmp_path: Path) -> None:
    """On a key, on none any more; not on the same account's again, nor on one that was refused."""
    heard: list[str] = []
    listening = Connections(tmp_path, process.vault, process.catalog, forget=heard.append)
    assert listening.account_of("huggingface") == ""
    for _ in range(2):
        listening.connect("huggingface", {"token": Secret(TOKEN)})
    assert (listening.account_of("huggingface"), heard) == ("ann", ["huggingface"])
    with pytest.raises(NotAuthorised):
        listening.connect("huggingface", {"token": Secret("hf_" + "c" * 34)})
    assert heard == ["huggingface"]
    listening.disconnect("huggingface")
    assert (listening.account_of("huggingface"), heard) == ("", ["huggingface"] * 2)
