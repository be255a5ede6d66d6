"""The vault's file on disk, and the key that opens it for as long as this process lives.

Readers take no lock: a file is replaced at once, so they see the old one or the new. A writer holds the lock from reading to replacing,
so two of them never lose each other's entry.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from peft_studio.core.errors import VaultDamaged, VaultError, VaultLocked
from peft_studio.core.redact import Secret
from peft_studio.core.system import locked, sync_folder, write_aside
from peft_studio.core.vault.keystore import Keystore, KeystoreUnavailable
from peft_studio.core.vault.sealed import KEY_BYTES, Cost, Header, Key, Sealed, derive_key, open_sealed, read_header

_NAME = "vault.sealed"


class VaultFile:
    """One vault on disk. What it loads and saves is :class:`Sealed`."""

    def __init__(self, folder: Path, keystore: Keystore) -> None:
        self.path = folder / _NAME
        self._keystore = keystore
        self._opened: tuple[Header, Key] | None = None

    def header(self) -> Header | None:
        """What the file says of its lock; None where there is no file."""
        blob = self._blob()
        return None if blob is None else read_header(blob)

    def is_open(self) -> bool:
        """Whether this process has the key."""
        return self._opened is not None and self._opened[0] == self.header()

    def load(self) -> Sealed | None:
        """The vault; None where there is no file. Raises ``VaultLocked`` while nobody has given the passphrase."""
        while (blob := self._blob()) is not None:
            key = self._key_of(read_header(blob))
            if key:
                sealed = open_sealed(blob, key)
                self._opened = (sealed.header, key)
                return sealed
            if self._blob() == blob:  # else it was just sealed anew, and the key that we asked for was thrown away
                raise VaultLocked(
                    "The system's keystore no longer has the key of this vault.",
                    hint="Was the keystore reset, or the folder brought from elsewhere? `vault.erase()` begins anew without its keys.",
                )
        return None

    def unlock(self, passphrase: Secret) -> None:
        """Open the file with its passphrase and keep the key that it makes, not the passphrase."""
        blob = self._blob()
        if blob is None or read_header(blob).lock != "passphrase":
            raise VaultError(
                "This vault has no passphrase.", hint="`vault.move('passphrase', passphrase)` gives it one."
            )
        sealed = open_sealed(blob, derive_key(passphrase, read_header(blob)))
        self._opened = (sealed.header, sealed.key)

    def lock(self) -> None:
        """Forget the key."""
        self._opened = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer while the block runs; waits for the one before."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.path.with_name("vault.lock")):
            yield

    def save(self, sealed: Sealed) -> None:
        """Replace the file, so that a kill or a power cut leaves the old one or the new. Only while :meth:`writing`."""
        for left in self.path.parent.glob(f".{_NAME}.*"):  # by a writer that was killed
            left.unlink(missing_ok=True)
        write_aside(self.path, sealed.pack(), sync=True)
        sync_folder(self.path.parent)
        self._opened = (sealed.header, sealed.key)

    def new_lock(self, passphrase: Secret | None, cost: Cost) -> tuple[Header, Key]:
        """A lock that was never used: the passphrase's, else one whose key the keystore has from now on."""
        if passphrase:
            header = Header.new("passphrase", cost)
            return header, derive_key(passphrase, header)
        header = Header.new("keystore")
        text = Secret(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())
        self._keystore.write(header.salt.hex(), text)
        return header, _key_in(text)

    def forget_lock(self, header: Header) -> None:
        """Take a key that opens nothing any more out of the keystore. A keystore that is away keeps it: it harms nobody."""
        if header.lock == "keystore":
            with contextlib.suppress(KeystoreUnavailable):
                self._keystore.remove(header.salt.hex())

    def erase(self) -> None:
        """Take the file away, whatever is in it, and its key. Only while :meth:`writing`."""
        with contextlib.suppress(VaultError):
            header = self.header()
            if header:
                self.forget_lock(header)
        self.path.unlink(missing_ok=True)
        self.lock()

    def _blob(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def _key_of(self, header: Header) -> Key | None:
        """The key of a file with this header; None when the keystore has none for it."""
        if self._opened and self._opened[0] == header:
            return self._opened[1]
        if header.lock == "passphrase":
            raise VaultLocked(
                "The vault is locked.",
                hint="`vault.unlock(passphrase)` opens it, with the new one where it was changed elsewhere.",
            )
        text = self._keystore.read(header.salt.hex())
        return text and _key_in(text)


def _key_in(text: Secret) -> Key:
    """The key that the keystore keeps as text."""
    try:
        return Key(base64.b64decode(text.reveal(), validate=True))
    except ValueError:
        raise VaultDamaged(
            "What the system's keystore has for this vault is not a key.",
            hint="Somebody changed it. `vault.erase()` begins anew.",
        ) from None
