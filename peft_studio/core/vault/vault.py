"""The vault: keys by name, kept in the best place there is. It never writes one that is not sealed."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from peft_studio.core.errors import VaultError
from peft_studio.core.redact import REDACTOR, Redactor, Secret
from peft_studio.core.vault.file import VaultFile
from peft_studio.core.vault.keystore import Keystore, KeystoreUnavailable
from peft_studio.core.vault.sealed import Cost, LockKind, Sealed
from peft_studio.core.vault.tier import Tier, find_tier

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_DATA_KEY = "data-key:"
_SHORTEST_PASSPHRASE = 8


class Vault:
    """Keys by name, in ``folder``. Several processes may have the same folder; each sees at once what another has set.

    Any call may raise :class:`VaultError`: ``VaultLocked`` until :meth:`unlock` was called or the keystore can be reached,
    ``VaultDamaged`` when the file is not what was written; and OSError where the disk refuses. Whatever goes in or out is made known
    to ``redactor``. ``opened`` is called after each :meth:`unlock`.
    """

    def __init__(
        self, folder: Path, *, redactor: Redactor = REDACTOR, keystore: Keystore | None = None, cost: Cost | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._keystore = keystore or Keystore()
        self._file = VaultFile(folder, self._keystore)
        self._redactor = redactor
        self._cost = cost or Cost()
        self._opened = opened
        self._here: dict[str, Secret] = {}  # this process alone, because that was asked for
        self._waiting: dict[str, Secret] = {}  # this process alone, for want of a better place
        self._refused = ""  # why the keystore took no key
        self.turns = 0  # how often it was locked or unlocked here, which changes no file

    def __repr__(self) -> str:
        return f"<Vault in {self._file.path.parent}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A Vault does not leave its process. Open another on the same folder.")

    @property
    def tier(self) -> Tier:
        """Where keys are kept, and why not in a better place."""
        return find_tier(self._file, self._keystore, self._refused)

    def get(self, name: str) -> Secret | None:
        """The key of that name; None when there is none. The others stay sealed."""
        found = self._here.get(_checked(name)) or self._find(name)
        if found:
            self._redactor.add(found)
        return found

    def set(self, name: str, secret: Secret, *, keep: bool = True) -> None:
        """Keep a key under a name, in place of what was there. ``keep=False`` keeps it in this process alone."""
        self._redactor.add(secret)
        if keep:
            self._edit(_checked(name), lambda before: secret)
            self._here.pop(name, None)
        else:
            self._here[_checked(name)] = secret

    def remove(self, name: str) -> None:
        """Forget the key of that name. One that is not there is gone already."""
        self._here.pop(_checked(name), None)
        self._edit(name, lambda before: None)

    def names(self) -> list[str]:
        """The names of all keys, sorted. Data keys are not among them."""
        sealed = self._file.load()
        every = {*self._here, *self._waiting, *(sealed.entries if sealed else ())}
        return sorted(name for name in every if not name.startswith(_DATA_KEY))

    def data_key(self, purpose: str) -> bytes:
        """32 random bytes for sealing this machine's own data (AES-256). Made at the first call, then always the same.

        Where ``tier.durable`` is False the key is gone with this process, and so is what was sealed with it.
        """
        return self.data_keys(purpose)[0]

    def data_keys(self, purpose: str) -> list[bytes]:
        """The data key and, behind it, those it has replaced: whoever finds something old sealed tries them in turn."""
        name = _DATA_KEY + _checked(purpose)
        found = self._find(name) or self._edit(name, lambda before: before or _new_data_key())
        return [base64.b64decode(text) for text in found.reveal().split()] if found else []

    def rotate_data_key(self, purpose: str) -> bytes:
        """Make a new data key. The old ones stay readable until :meth:`retire_data_keys`: seal again what they sealed before that."""
        name = _DATA_KEY + _checked(purpose)
        self._edit(name, lambda before: _new_data_key(before))
        return self.data_key(purpose)

    def retire_data_keys(self, purpose: str) -> None:
        """Throw away all data keys but the newest. What they sealed is lost."""
        self._edit(_DATA_KEY + _checked(purpose), lambda before: before and Secret(before.reveal().split()[0]))

    def unlock(self, passphrase: Secret) -> None:
        """Open the vault with its passphrase. It takes about 0.4 s: so does each guess of a thief."""
        _require_handle(passphrase)
        self._redactor.add(passphrase)
        self._file.unlock(passphrase)
        self.turns += 1
        self._opened()

    def lock(self) -> None:
        """Forget what opens the vault, and what this process alone has."""
        self._file.lock()
        self._here.clear()
        self._waiting.clear()
        self.turns += 1

    def move(self, to: LockKind, passphrase: Secret | None = None) -> None:
        """Seal every key anew, under a key that was never used: the keystore's, or that of a new passphrase.

        Moving to where the vault is already is how its key or passphrase is changed. Keys that waited in this process move in.
        """
        _check_passphrase(to, passphrase)
        if passphrase:
            self._redactor.add(passphrase)
        with self._file.writing():
            before = self._file.load()
            header, key = self._file.new_lock(passphrase, self._cost)
            after = before.under(header, key) if before else Sealed(header, key, {})
            self._save(after)
            if before:
                self._file.forget_lock(before.header)
        self._refused = ""

    def erase(self) -> None:
        """Take away every key, the file and what opens it. For a passphrase that is lost or a file that is damaged."""
        with self._file.writing():
            self._file.erase()
        self.lock()
        self._refused = ""

    def _find(self, name: str) -> Secret | None:
        if name in self._waiting:
            return self._waiting[name]
        sealed = self._file.load()
        return sealed.get(name) if sealed else None

    def _edit(self, name: str, change: Callable[[Secret | None], Secret | None]) -> Secret | None:
        """Change one entry, seen by no other writer in between, and return it."""
        with self._file.writing():
            before = self._find(name)
            after = change(before)
            if after == before:
                return after
            sealed = self._file.load() or self._begin()
            self._waiting.pop(name, None)
            if sealed:
                self._save(sealed.with_entry(name, after))
            elif after:
                self._waiting[name] = after
        return after

    def _begin(self) -> Sealed | None:
        """A new vault that the keystore opens; None where it cannot, and then it is not asked again until :meth:`move`."""
        if self._refused:
            return None
        try:
            return Sealed(*self._file.new_lock(None, self._cost), {})
        except KeystoreUnavailable as error:
            self._refused = error.why
            return None

    def _save(self, sealed: Sealed) -> None:
        """Write the file, with what waited for one. A data key joins those that another process has made meanwhile."""
        for name, secret in self._waiting.items():
            there = sealed.get(name) if name.startswith(_DATA_KEY) else None
            sealed = sealed.with_entry(name, Secret(f"{there.reveal()} {secret.reveal()}") if there else secret)
        self._file.save(sealed)
        self._waiting.clear()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise VaultError(
            "That cannot be the name of a key.",
            hint="Names have up to 64 of a to z, 0 to 9, dot, hyphen and underscore, and begin with a letter or digit.",
        )
    return name


def _require_handle(passphrase: object) -> None:
    if not isinstance(passphrase, Secret):
        raise VaultError(
            "A passphrase is given as a Secret, so that nothing shows it.",
            hint="vault.unlock(Secret(getpass())), with `from peft_studio.core.vault import Secret`; the Connect panel asks for it.",
        )


def _check_passphrase(to: LockKind, passphrase: Secret | None) -> None:
    if passphrase is not None:
        _require_handle(passphrase)
    if to == "keystore" and passphrase:
        raise VaultError(
            "A keystore needs no passphrase.",
            hint="`vault.move('keystore')`, or `vault.move('passphrase', passphrase)`.",
        )
    if to == "passphrase" and (passphrase is None or len(passphrase.reveal()) < _SHORTEST_PASSPHRASE):
        raise VaultError(
            f"A vault needs a passphrase of at least {_SHORTEST_PASSPHRASE} characters.",
            hint="Four or five words that do not belong together are easier to keep in mind, and harder to guess, than eight signs.",
        )


def _new_data_key(before: Secret | None = None) -> Secret:
    fresh = base64.b64encode(secrets.token_bytes(32)).decode()
    return Secret(f"{fresh} {before.reveal()}" if before else fresh)
