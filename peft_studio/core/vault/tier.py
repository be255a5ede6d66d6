"""Where keys are kept, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peft_studio.core.vault.file import VaultFile
from peft_studio.core.vault.keystore import Keystore, KeystoreUnavailable

TierName = Literal["keystore", "passphrase", "process"]


@dataclass(frozen=True)
class Tier:
    """The rung of the ladder in use: keystore, then passphrase, then this process alone. There is none below.

    ``sentence`` and ``why_not_better`` are for people. ``durable`` keys outlive this process. A tier that is not ``is_open`` waits for
    its passphrase or its keystore.
    """

    name: TierName
    sentence: str
    durable: bool = True
    is_open: bool = True
    why_not_better: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.sentence, self.why_not_better) if part)


def find_tier(file: VaultFile, keystore: Keystore, refused: str) -> Tier:
    """The tier in use. ``refused`` is why the keystore did not take a key when it was asked to."""
    header = file.header()
    try:
        store, away = keystore.label(), ""
    except KeystoreUnavailable as error:
        store, away = "the system's keystore", error.why
    unused = f"The system's keystore is not used: {away or refused}."
    if header and header.lock == "passphrase":
        state = "" if file.is_open() else " It is locked now."
        better = unused if away or refused else f"{_capital(store)} could open it instead: `vault.move('keystore')`."
        sentence = f"Keys are sealed in {file.path}, which a passphrase opens.{state}"
        return Tier("passphrase", sentence, is_open=file.is_open(), why_not_better=better)
    if header:
        state = f" It cannot be reached now: {away}." if away else ""
        return Tier("keystore", f"Keys are sealed in {file.path}, which {store} opens.{state}", is_open=not away)
    if away or refused:
        better = f"{unused} A passphrase can guard them: `vault.move('passphrase', passphrase)`."
        sentence = "Keys are kept in this process alone and are gone with it."
        return Tier("process", sentence, durable=False, why_not_better=better)
    return Tier("keystore", f"Keys will be sealed in {file.path}, which {store} opens.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
