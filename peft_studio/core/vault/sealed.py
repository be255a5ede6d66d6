"""The vault's file as bytes: what stands where, what seals what. It touches no disk and asks nobody for a key.

    magic       8   what this is, and its version
    lock        1   K: the system's keystore has the key.  P: scrypt makes it from a passphrase
    salt       16   scrypt's salt; for K, what the keystore's entry is called
    cost        3   scrypt's log2 N, r, p; zeros for K
    check      28   nothing at all, sealed: only the right key opens it
    entries     …   a JSON object, sealed: name → entry, each sealed once more by itself
    checksum   32   SHA-256 of all the above: tells damage from a wrong passphrase. It protects from nobody

Sealed is a random nonce (12), AES-256-GCM's ciphertext, its tag (16). Bound into each as associated data: magic, lock, salt, cost, what it
is and, for an entry, its name. So nothing can be exchanged, renamed, added or taken out, and reading one key leaves the others sealed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Literal

from peft_studio.core.errors import VaultDamaged, VaultError, WrongPassphrase
from peft_studio.core.redact import Secret

MAGIC = b"PEFTVLT1"
KEY_BYTES = 32
_SALT, _NONCE, _TAG, _SUM = 16, 12, 16, 32
_HEADER = len(MAGIC) + 1 + _SALT + 3
_CHECK = _NONCE + _TAG
_MOST_MEMORY_BYTES = 512 << 20  # a file that asks scrypt for more is not ours

LockKind = Literal["keystore", "passphrase"]
_LOCKS: dict[bytes, LockKind] = {b"K": "keystore", b"P": "passphrase"}
_LETTERS = {kind: letter for letter, kind in _LOCKS.items()}


@dataclass(frozen=True)
class Cost:
    """scrypt's parameters. The default takes 128 MiB and about 0.4 s, for us and for each guess of a thief."""

    log2_n: int = 17
    r: int = 8
    p: int = 1

    def fits(self) -> bool:
        """Whether we would ever have written this."""
        return (
            1 <= self.log2_n < 16 * self.r  # scrypt's own limit
            and 1 <= self.p <= 16
            and 128 * self.r << self.log2_n <= _MOST_MEMORY_BYTES
        )


@dataclass(frozen=True)
class Header:
    """What can be known of a vault's file without its key."""

    lock: LockKind
    salt: bytes
    cost: Cost | None = None

    @classmethod
    def new(cls, lock: LockKind, cost: Cost | None = None) -> Header:
        """One that was never used before."""
        return cls(lock, secrets.token_bytes(_SALT), cost if lock == "passphrase" else None)

    def pack(self) -> bytes:
        """The bytes at the beginning of the file."""
        cost = bytes((self.cost.log2_n, self.cost.r, self.cost.p)) if self.cost else bytes(3)
        return MAGIC + _LETTERS[self.lock] + self.salt + cost


class Key:
    """What seals and opens. The bytes themselves stay inside the cipher, where no listing of variables shows them."""

    __slots__ = ("_cipher",)

    def __init__(self, raw: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(raw)

    def seal(self, plain: bytes, *, bound: bytes) -> bytes:
        """Seal under a nonce of its own. ``bound`` has to be the same when it is opened."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, *, bound: bytes) -> bytes | None:
        """What was sealed; None if this key did not seal exactly this."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError):
            return None


@dataclass(frozen=True)
class Sealed:
    """An opened vault: its entries, each of which is still sealed by itself."""

    header: Header
    key: Key
    entries: dict[str, bytes]

    def get(self, name: str) -> Secret | None:
        """Open one entry."""
        if name not in self.entries:
            return None
        plain = self.key.open(self.entries[name], bound=self._bound_to(name))
        if plain is None:
            raise _damaged("one of its entries is not what was written there")
        return Secret(plain.decode("utf-8", "surrogatepass"))

    def with_entry(self, name: str, secret: Secret | None) -> Sealed:
        """The same with this entry, or without it."""
        others = {other: sealed for other, sealed in self.entries.items() if other != name}
        if secret is not None:
            others[name] = self.key.seal(secret.reveal().encode("utf-8", "surrogatepass"), bound=self._bound_to(name))
        return Sealed(self.header, self.key, others)

    def under(self, header: Header, key: Key) -> Sealed:
        """The same entries, all sealed anew under another key."""
        anew = Sealed(header, key, {})
        for name in self.entries:
            anew = anew.with_entry(name, self.get(name))
        return anew

    def pack(self) -> bytes:
        """The file."""
        head = self.header.pack()
        listing = json.dumps({name: base64.b64encode(sealed).decode() for name, sealed in self.entries.items()})
        body = (
            head + self.key.seal(b"", bound=head + b"check") + self.key.seal(listing.encode(), bound=head + b"entries")
        )
        return body + hashlib.sha256(body).digest()

    def _bound_to(self, name: str) -> bytes:
        return self.header.pack() + b"entry:" + name.encode()


def read_header(blob: bytes) -> Header:
    """What stands at the beginning of a file, once its checksum has been seen to hold."""
    if len(blob) < _HEADER + 2 * _CHECK + _SUM:
        raise _damaged("it is too short")
    if hashlib.sha256(blob[:-_SUM]).digest() != blob[-_SUM:]:
        raise _damaged("its checksum does not hold")
    if not blob.startswith(MAGIC[:-1]):
        raise _damaged("it does not begin as one")
    if not blob.startswith(MAGIC):
        raise VaultError(
            "The vault was written by a newer PEFT Studio.", hint="Update PEFT Studio. Nothing was changed."
        )
    lock, (log2_n, r, p) = _LOCKS.get(blob[len(MAGIC) :][:1]), blob[_HEADER - 3 : _HEADER]
    cost = Cost(log2_n, r, p)
    if lock is None or not (cost.fits() if lock == "passphrase" else cost == Cost(0, 0, 0)):
        raise _damaged("it says of its lock what cannot be")
    return Header(lock, blob[_HEADER - 3 - _SALT : _HEADER - 3], cost if lock == "passphrase" else None)


def open_sealed(blob: bytes, key: Key) -> Sealed:
    """The vault in a file. A key that does not open ``check`` is the wrong one; what then fails was changed by someone."""
    header = read_header(blob)
    head = header.pack()
    if key.open(blob[_HEADER : _HEADER + _CHECK], bound=head + b"check") is None:
        if header.lock == "keystore":
            raise _damaged("the key that the keystore has for it does not open it")
        raise WrongPassphrase(
            "That passphrase does not open the vault.",
            hint="Try again; capitals and keyboard layout count. Nobody can reset it: `vault.erase()` begins anew without its keys.",
        )
    listing = key.open(blob[_HEADER + _CHECK : -_SUM], bound=head + b"entries")
    if listing is None:
        raise _damaged("somebody has changed it")
    return Sealed(header, key, {name: base64.b64decode(text) for name, text in json.loads(listing).items()})


def derive_key(passphrase: Secret, header: Header) -> Key:
    """The key that this passphrase makes with the header's salt and cost. The same letters typed on another system make the same key."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    assert header.cost
    n, r, p = 1 << header.cost.log2_n, header.cost.r, header.cost.p
    try:
        scrypt = Scrypt(salt=header.salt, length=KEY_BYTES, n=n, r=r, p=p)
        return Key(scrypt.derive(unicodedata.normalize("NFKC", passphrase.reveal()).encode("utf-8", "surrogatepass")))
    except MemoryError:
        raise VaultError(
            f"There is no memory left to open the vault: it takes {128 * r * n >> 20} MiB for a moment.",
            hint="Free some and try again.",
        ) from None


def _damaged(why: str) -> VaultDamaged:
    return VaultDamaged(
        f"The vault's file is damaged: {why}.",
        hint="Put a copy of it from a backup in its place, or begin anew with `vault.erase()` and connect your accounts again.",
    )
