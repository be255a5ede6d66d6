"""AES-256-GCM for what must not be read from disk. The key comes from the vault and is never stored here."""

from __future__ import annotations

import hashlib
import os
from typing import Any

NONCE_BYTES = 12  # random for each seal: safe for 2^32 seals with one key (NIST SP 800-38D, 8.3)


class SealBroken(Exception):
    """The bytes were changed, moved to another place, or sealed with another key."""


def seal(key: bytes, plain: bytes, bound: str) -> bytes:
    """Encrypt. ``bound`` names the place the bytes belong to: they open nowhere else."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + bytes(_cipher(key).encrypt(nonce, plain, bound.encode()))


def unseal(key: bytes, sealed: bytes, bound: str) -> bytes:
    """What was sealed.

    Raises:
        SealBroken: Not with this key, not in this place, or not unchanged.
    """
    from cryptography.exceptions import InvalidTag

    try:
        return bytes(_cipher(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound.encode()))
    except (InvalidTag, ValueError) as exc:  # ValueError: too short to be anything
        raise SealBroken("cannot be opened with this key") from exc


def name_key(key: bytes) -> str:
    """A name for a key, which tells nothing of it: with which key something was sealed can be known without trying."""
    if len(key) != 32:
        raise ValueError("a key has 32 bytes")
    return hashlib.blake2b(b"name of a sealing key", key=key, digest_size=8).hexdigest()


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(key) != 32:
        raise ValueError("a key has 32 bytes")
    return AESGCM(key)
