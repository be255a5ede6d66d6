"""The system's keystore, through ``keyring``: it holds one small key for each vault. Loaded when a vault first asks for it.

Only stores that the system guards are used. ``keyring`` would also take what its configuration or another package names, files in plain
text among them; those are refused by not being on the list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from peft_studio.core.errors import VaultLocked
from peft_studio.core.redact import Secret

SERVICE = "peft-studio"
ANSWER_S = 60  # a person may have to type the keystore's own password first
REAL = {
    "keyring.backends.SecretService": "the desktop's keyring (Secret Service)",
    "keyring.backends.libsecret": "the desktop's keyring (libsecret)",
    "keyring.backends.kwallet": "KWallet",
    "keyring.backends.macOS": "the macOS Keychain",
    "keyring.backends.Windows": "the Windows Credential Manager",
}
_HINT = "Unlock it, or begin the session in which it runs. Without one a passphrase can guard the keys: `vault.move('passphrase', …)`."

Answer = TypeVar("Answer")


class KeystoreUnavailable(VaultLocked):
    """The system's keystore is not there, is locked, or does not answer. ``why`` is the part that differs."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The system's keystore cannot be used: {why}.", hint=_HINT)
        self.why = why


class Keystore:
    """Named values in the keystore of whoever is logged in. Every call may wait for a person, a minute at most."""

    def label(self) -> str:
        """What the store is called; raises :class:`KeystoreUnavailable` where there is none. It may still be locked."""
        return _ask(lambda: REAL[type(_backend()).__module__])

    def read(self, entry: str) -> Secret | None:
        """The value of an entry; None when there is none."""
        return _ask(lambda: _secret(_backend().get_password(SERVICE, entry)))

    def write(self, entry: str, value: Secret) -> None:
        """Set an entry, and see that it can be read back: a store that forgets would lose every key."""
        _ask(lambda: _backend().set_password(SERVICE, entry, value.reveal()), hide=value)
        if self.read(entry) != value:
            raise KeystoreUnavailable("it does not give back what it was given")

    def remove(self, entry: str) -> None:
        """Take an entry away, if it is there."""
        if self.read(entry) is not None:
            _ask(lambda: _backend().delete_password(SERVICE, entry))


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value else None


def _backend() -> Any:
    """The store that ``keyring`` has chosen, if it is a real one; the first real one where it has chosen several."""
    import keyring

    chosen = keyring.get_keyring()
    for backend in getattr(chosen, "backends", [chosen]):
        if type(backend).__module__ in REAL:
            return backend
    kind = f"{type(chosen).__module__}.{type(chosen).__qualname__}"
    if kind.startswith("keyring.backends.fail."):
        raise KeystoreUnavailable("none runs for this user; desktops have one, servers and containers have not")
    raise KeystoreUnavailable(f"keyring is set to {kind}, which is not a store that the system guards")


def _ask(question: Callable[[], Answer], *, hide: Secret | None = None) -> Answer:
    """Ask in a thread that may be left behind: a store can wait for a prompt that nobody sees.

    The error is made anew and not chained: text and frames of the original may have the value in them.
    """
    answer: Future[Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # noqa: BLE001 - a boundary: backends are anybody's code, and each has errors of its own
            answer.set_exception(error)

    threading.Thread(target=work, name="keystore", daemon=True).start()
    if why := _failure(answer, hide):
        raise KeystoreUnavailable(why)
    return answer.result()


def _failure(answer: Future[Any], hide: Secret | None) -> str:
    """Why there is no answer, without the secret; empty when there is one."""
    try:
        error = answer.exception(ANSWER_S)
    except TimeoutError:
        return f"it has not answered within {ANSWER_S} s; it may be waiting for its password"
    if error is None:
        return ""
    why = error.why if isinstance(error, KeystoreUnavailable) else f"{type(error).__name__}: {error}".rstrip(": .")
    return why.replace(hide.reveal(), str(hide)) if hide else why
