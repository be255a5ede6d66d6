"""The vault's file is what was written, or it is refused."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import traceback

import pytest

from peft_studio.core.errors import VaultDamaged, VaultError, WrongPassphrase
from peft_studio.core.redact import Secret
from peft_studio.core.vault.sealed import MAGIC, Cost, Header, Key, Sealed, derive_key, open_sealed, read_header
from tests.unit.core.vault.conftest import CHEAP, PASSPHRASE

SUM = 32
# Written on 2026-11-26 with CHEAP and PASSPHRASE. Every later version must open it.
FIRST = base64.b64decode(
    "UEVGVFZMVDFQBw2IATma/jqlEzv031TYuQEBAf1ZBiSE/vW8qRNU0NC1rpOCnrKn8Nd+uUrOUpHAzzJ7h1zTBzNoZFj//pqD2zAW8oSbWZJ91w"
    "rg+mnLDDlnd0klJe2b/guibkadZXUBkqxQAyVxoDTTq6WljJNMJM1YvtUNQFvGv30gr7pENWiPJ4Z+QfW8InJBvoomg91ilZf/TOGh1A8d1e6M"
    "epKKV4H4DFYucun1jkehOKCo9p9dasn8kX+blX7iURP3BPP82YrXOlWEVU2AeE9HN/XxMFLvZLdzQqK9VmvVx/8rFpGbO9xJhOJSckUuWwQcEg"
    "ZsXveq"
)


@pytest.fixture(scope="module", params=["passphrase", "keystore"])
def sealed(request: pytest.FixtureRequest) -> Sealed:
    """A vault of two entries, under each kind of lock."""
    header = Header.new(request.param, CHEAP)
    key = derive_key(PASSPHRASE, header) if header.lock == "passphrase" else Key(bytes(range(32)))
    return Sealed(header, key, {}).with_entry("wandb", Secret("one")).with_entry("comet", Secret("two"))


def read_all(blob: bytes, key: Key | None = None) -> dict[str, str]:
    """What someone with the right passphrase, or the right key, gets out of a file."""
    opened = open_sealed(blob, key or derive_key(PASSPHRASE, read_header(blob)))
    return {name: found.reveal() for name in opened.entries if (found := opened.get(name))}


def with_right_checksum(blob: bytes) -> bytes:
    """As someone would leave it who meddles on purpose."""
    return blob[:-SUM] + hashlib.sha256(blob[:-SUM]).digest()


def flips(blob: bytes) -> list[bytes]:
    """The file with each of its bits turned over."""
    number = int.from_bytes(blob)
    return [(number ^ 1 << bit).to_bytes(len(blob)) for bit in range(8 * len(blob))]


def key_for(sealed: Sealed) -> Key | None:
    return sealed.key if sealed.header.lock == "keystore" else None


def test_opens_what_was_written(sealed: Sealed) -> None:
    """And a file of the first version stays readable."""
    assert read_all(sealed.pack(), key_for(sealed)) == {"wandb": "one", "comet": "two"}
    assert read_all(FIRST) == {"huggingface": "not a real key", "wandb": "neither"}


def test_every_flipped_bit_is_called_damage(sealed: Sealed) -> None:
    """An accident is never taken for a wrong passphrase, and is seen without one."""
    blob = sealed.pack()
    told = set()
    for flipped in flips(blob):
        with pytest.raises(VaultDamaged, match="damaged") as caught:
            read_header(flipped)
        told.add(str(caught.value))

    assert len(told) == 1
    assert "checksum" in told.pop()


def test_every_flipped_bit_under_a_right_checksum_is_refused(sealed: Sealed) -> None:
    """Meddling is refused, too, by the seals. In what the key is made from it cannot be told from a wrong passphrase; elsewhere it is damage."""
    blob = sealed.pack()
    taken_for_wrong_passphrase = 0
    for flipped in flips(blob[:-SUM]):
        with pytest.raises(VaultError) as caught:
            read_all(with_right_checksum(flipped + bytes(SUM)), key_for(sealed))
        assert "one" not in caught.value.__dict__.values()
        taken_for_wrong_passphrase += isinstance(caught.value, WrongPassphrase)

    salt_cost_and_check = 8 * (16 + 3 + 28)
    assert taken_for_wrong_passphrase <= (salt_cost_and_check if sealed.header.lock == "passphrase" else 0)


def test_every_truncation_is_refused(sealed: Sealed) -> None:
    """Whether or not someone has put a checksum at its end; so is anything added."""
    blob = sealed.pack()
    for length in range(len(blob)):
        with pytest.raises(VaultDamaged):
            read_header(blob[:length])
        if length >= SUM:
            too_short = length < len(MAGIC) + 1 + 16 + 3 + 2 * 28 + SUM
            with pytest.raises(VaultDamaged if too_short else VaultError):
                read_all(with_right_checksum(blob[:length]), key_for(sealed))
    with pytest.raises(VaultDamaged):
        read_all(with_right_checksum(blob[:-SUM] + b"\0" + bytes(SUM)), key_for(sealed))


def test_entries_cannot_change_places(sealed: Sealed) -> None:
    """Each is bound to its name and to its file."""
    swapped = dataclasses.replace(sealed, entries={"wandb": sealed.entries["comet"], "comet": sealed.entries["wandb"]})
    elsewhere = dataclasses.replace(sealed, header=Header.new(sealed.header.lock, CHEAP))

    for wrong in (swapped, elsewhere):
        with pytest.raises(VaultDamaged):
            wrong.get("wandb")


def test_parts_of_two_files_do_not_fit(sealed: Sealed) -> None:
    """Even under one key, the entries of one file are refused behind the beginning of another."""
    other = Sealed(Header.new(sealed.header.lock, CHEAP), sealed.key, {}).with_entry("wandb", Secret("old"))
    begin = len(MAGIC) + 1 + 16 + 3 + 28

    with pytest.raises(VaultDamaged, match="somebody has changed it"):
        open_sealed(with_right_checksum(sealed.pack()[:begin] + other.pack()[begin:]), sealed.key)


def test_nothing_is_sealed_twice_the_same_way(sealed: Sealed) -> None:
    """Every nonce is new: 2,000 writes of the same share none."""
    nonces = {sealed.with_entry("wandb", Secret("one")).entries["wandb"][:12] for _ in range(1000)}
    nonces |= {sealed.pack()[56:68] for _ in range(1000)}

    assert len(nonces) == 2000


@pytest.mark.parametrize(
    "cost", [(40, 8, 1), (24, 8, 1), (20, 255, 1), (16, 1, 1), (0, 8, 1), (17, 0, 1), (17, 8, 0), (17, 8, 255)]
)
def test_a_file_cannot_ask_for_all_memory(cost: tuple[int, int, int]) -> None:
    """A cost that we would not have written is refused before it is tried."""
    blob = Sealed(Header("passphrase", bytes(16), Cost(*cost)), Key(bytes(32)), {}).pack()

    with pytest.raises(VaultDamaged, match="lock"):
        read_header(blob)


def test_default_cost_is_what_is_recommended() -> None:
    """OWASP's first choice of scrypt: N = 2^17, r = 8, p = 1, which is 128 MiB for each guess."""
    assert Cost() == Cost(17, 8, 1)
    assert Cost().fits()


def test_a_newer_version_is_not_called_damage(sealed: Sealed) -> None:
    """Nothing is lost there: an update opens it."""
    blob = sealed.pack()

    with pytest.raises(VaultError, match="newer") as caught:
        read_header(with_right_checksum(MAGIC[:-1] + b"2" + blob[len(MAGIC) :]))

    assert not isinstance(caught.value, VaultDamaged)


@pytest.mark.parametrize("spoil", ["nothing", "check", "entries", "entry"])
def test_errors_show_no_key_even_with_their_variables(spoil: str, sealed: Sealed) -> None:
    """A traceback that lists the variables of every frame, as notebooks' verbose ones do, has neither passphrase nor key nor value."""
    passphrase = Secret("a wrong passphrase")
    blob = bytearray(sealed.pack())
    where = {"nothing": -1, "check": 30, "entries": 70, "entry": -1}[spoil]
    blob[where] ^= 1
    blob = bytearray(with_right_checksum(bytes(blob)))

    def work() -> None:
        key = sealed.key
        if spoil == "nothing":
            key = derive_key(passphrase, Header.new("passphrase", CHEAP))
        opened = open_sealed(bytes(blob), key)
        dataclasses.replace(opened, entries={"wandb": opened.entries["comet"]}).get("wandb")

    with pytest.raises(VaultError) as caught:
        work()

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "wrong passphrase" not in shown.replace("That passphrase", "")
    assert "'two'" not in shown
    assert repr(bytes(range(32)))[2:20] not in shown
