"""What is sealed opens with its key, in its place, unchanged; and in no other way."""

from __future__ import annotations

import pytest

from peft_studio.core.offline.sealed import SealBroken, name_key, seal, unseal
from tests.unit.core.offline.conftest import KEY, OTHER_KEY

PLAIN = b'{"loss": 0.25, "text": "a secret"}'


def test_it_opens_again() -> None:
    """The bytes come back, the empty ones too."""
    assert unseal(KEY, seal(KEY, PLAIN, "here"), "here") == PLAIN
    assert unseal(KEY, seal(KEY, b"", "here"), "here") == b""


def test_every_flipped_bit_and_every_truncation_is_refused() -> None:
    """All of them, one by one."""
    sealed = seal(KEY, PLAIN, "here")
    changed = [sealed[:n] for n in range(len(sealed))]
    changed += [
        bytes(b ^ (1 << bit) if i == n else b for i, b in enumerate(sealed))
        for n in range(len(sealed))
        for bit in range(8)
    ]

    for one in changed:
        with pytest.raises(SealBroken):
            unseal(KEY, one, "here")


def test_another_key_and_another_place_are_refused() -> None:
    """A sealed payload that was moved to another entry does not open there."""
    sealed = seal(KEY, PLAIN, "here")

    with pytest.raises(SealBroken):
        unseal(OTHER_KEY, sealed, "here")
    with pytest.raises(SealBroken):
        unseal(KEY, sealed, "there")


def test_no_two_seals_are_alike() -> None:
    """The same bytes twice tell nobody that they are the same."""
    assert len({seal(KEY, PLAIN, "here") for _ in range(1000)}) == 1000
    assert PLAIN not in seal(KEY, PLAIN, "here")


def test_a_key_has_a_name_that_tells_nothing_of_it() -> None:
    """Stable, different for different keys; a key of another length is a mistake."""
    assert name_key(KEY) == name_key(KEY) != name_key(OTHER_KEY)
    assert KEY.hex()[:8] not in name_key(KEY)
    with pytest.raises(ValueError, match="32"):
        name_key(b"short")
    with pytest.raises(ValueError, match="32"):
        seal(b"sixteen bytes ok", PLAIN, "here")
