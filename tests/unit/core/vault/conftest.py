"""Keystores without a desktop, and scrypt at no cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.redact import Redactor, Secret
from peft_studio.core.vault import Vault
from peft_studio.core.vault.keystore import Keystore, KeystoreUnavailable
from peft_studio.core.vault.sealed import Cost

CHEAP = Cost(log2_n=1, r=1, p=1)
PASSPHRASE = Secret("correct horse battery")


class MemoryKeystore(Keystore):
    """Behaves as a real one that is unlocked, and can be taken away."""

    def __init__(self) -> None:
        self.kept: dict[str, Secret] = {}
        self.away = ""

    def label(self) -> str:
        self._there()
        return "the test's keystore"

    def read(self, entry: str) -> Secret | None:
        self._there()
        return self.kept.get(entry)

    def write(self, entry: str, value: Secret) -> None:
        self._there()
        self.kept[entry] = value

    def remove(self, entry: str) -> None:
        self._there()
        self.kept.pop(entry, None)

    def _there(self) -> None:
        if self.away:
            raise KeystoreUnavailable(self.away)


@pytest.fixture
def keystore() -> MemoryKeystore:
    """One that works."""
    return MemoryKeystore()


@pytest.fixture
def nowhere() -> MemoryKeystore:
    """One that is not there, as on a server."""
    absent = MemoryKeystore()
    absent.away = "none runs here"
    return absent


@pytest.fixture
def open_vault(tmp_path: Path) -> Callable[..., Vault]:
    """Another process's view of the one vault of this test."""

    def _open(store: Keystore) -> Vault:
        return Vault(tmp_path / "vault", keystore=store, cost=CHEAP, redactor=Redactor())

    return _open
