"""Only keystores that the system guards are used, and none can hang us or make us talk. A real one: tests/e2e/test_keystore.py."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from peft_studio.core.redact import Secret
from peft_studio.core.vault import keystore
from peft_studio.core.vault.keystore import Keystore, KeystoreUnavailable

CANARY = Secret("CanaryCanaryCanary")


class Store(KeyringBackend):
    """A backend of the test's own. It counts as real only where a test says so."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[f"{service}/{username}"] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[f"{service}/{username}"]


class Plain(Store):
    """As keyrings.alt: a file that anyone can read."""


class Chain(chainer.ChainerBackend):
    """What keyring chooses where there are several."""

    backends: list[KeyringBackend] = []  # type: ignore[assignment]  # noqa: RUF012


class Silent(Store):
    """Waits for a prompt that nobody sees."""

    asked = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.set()
        threading.Event().wait()
        return None


class Talkative(Store):
    """Puts the value in its error."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise LookupError(f"no room for {password}")


class Forgetful(Store):
    """Takes everything and keeps nothing, as keyring's null backend."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return


@pytest.fixture
def use() -> Iterator[Callable[[KeyringBackend], Keystore]]:
    """Let keyring choose this one."""
    before = keyring.get_keyring()

    def _use(backend: KeyringBackend) -> Keystore:
        keyring.set_keyring(backend)
        return Keystore()

    yield _use
    keyring.set_keyring(before)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backends of this module count as real."""
    monkeypatch.setitem(keystore.REAL, Store.__module__, "the test's store")


@pytest.mark.parametrize(
    "backend", [fail.Keyring(), null.Keyring(), Plain(), Chain()], ids=lambda backend: type(backend).__name__
)
def test_refuses_what_the_system_does_not_guard(
    backend: KeyringBackend, use: Callable[[KeyringBackend], Keystore]
) -> None:
    """No store, a store that forgets, a file in plain text: none is asked to keep anything, and the reason names what was refused."""
    store = use(backend)
    for attempt in (store.label, lambda: store.read("x"), lambda: store.write("x", CANARY), lambda: store.remove("x")):
        with pytest.raises(KeystoreUnavailable) as caught:
            attempt()
        assert (
            "none runs" in str(caught.value)
            if isinstance(backend, fail.Keyring)
            else type(backend).__name__ in str(caught.value)
        )
    assert not getattr(backend, "kept", None)


def test_takes_the_real_one_of_several(
    use: Callable[[KeyringBackend], Keystore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a file in plain text before it in the chain, the file gets nothing."""
    plain, real = Plain(), Store()
    monkeypatch.setattr(Chain, "backends", [plain, real])
    monkeypatch.setattr(Plain, "__module__", "keyrings.alt.file")
    monkeypatch.setitem(keystore.REAL, Store.__module__, "the test's store")

    use(Chain()).write("x", CANARY)

    assert plain.kept == {}
    assert real.kept == {"peft-studio/x": CANARY.reveal()}


@pytest.mark.usefixtures("real")
def test_keeps_and_removes(use: Callable[[KeyringBackend], Keystore]) -> None:
    """What is removed twice is gone once."""
    store = use(Store())
    store.write("x", CANARY)
    assert store.label() == "the test's store"
    assert store.read("x") == CANARY

    store.remove("x")
    store.remove("x")

    assert store.read("x") is None


@pytest.mark.usefixtures("real")
def test_one_that_forgets_is_found_out(use: Callable[[KeyringBackend], Keystore]) -> None:
    """Before a file is sealed with a key that nobody has any more."""
    with pytest.raises(KeystoreUnavailable, match="give back"):
        use(Forgetful()).write("x", CANARY)


@pytest.mark.usefixtures("real")
def test_one_that_hangs_is_left(use: Callable[[KeyringBackend], Keystore], monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked; then we went on."""
    monkeypatch.setattr(keystore, "ANSWER_S", 0.05)

    with pytest.raises(KeystoreUnavailable, match="not answered"):
        use(Silent()).read("x")

    assert Silent.asked.is_set()


@pytest.mark.usefixtures("real")
def test_its_errors_do_not_tell(use: Callable[[KeyringBackend], Keystore]) -> None:
    """Neither their text nor the variables of the frames behind them."""
    with pytest.raises(KeystoreUnavailable, match="LookupError: no room for") as caught:
        use(Talkative()).write("x", CANARY)

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "Canary" not in shown.replace("CANARY", "")
    assert caught.value.__context__ is None
