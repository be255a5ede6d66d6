"""Keys are kept by name, in the best place there is, and nowhere else."""

from __future__ import annotations

import pickle
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.errors import VaultDamaged, VaultError, VaultLocked, WrongPassphrase
from peft_studio.core.redact import Redactor
from peft_studio.core.system import WINDOWS
from peft_studio.core.vault import Secret, Vault
from tests.unit.core.vault.conftest import CHEAP, PASSPHRASE, MemoryKeystore

Open = Callable[[MemoryKeystore], Vault]
CANARY = "hf_CanaryCanaryCanaryCanaryCanary0123"
OTHER = Secret("another passphrase")


@pytest.fixture(params=["keystore", "passphrase", "process"])
def vault(request: pytest.FixtureRequest, open_vault: Open, keystore: MemoryKeystore, nowhere: MemoryKeystore) -> Vault:
    """A vault at each rung."""
    vault = open_vault(keystore if request.param == "keystore" else nowhere)
    if request.param == "passphrase":
        vault.move("passphrase", PASSPHRASE)
    assert vault.tier.name == request.param
    return vault


def test_keys_come_and_go_by_name(vault: Vault) -> None:
    """At every rung what was set is got, what was removed is gone, and data keys are not among the names."""
    vault.set("wandb", Secret("one"))
    vault.set("huggingface", Secret("two"))
    vault.set("wandb", Secret("three"))
    vault.set("odd", Secret("é\n\x00\ud800"))
    key = vault.data_key("outbox")

    assert vault.names() == ["huggingface", "odd", "wandb"]
    assert vault.get("wandb") == Secret("three")
    assert vault.get("odd") == Secret("é\n\x00\ud800")
    assert vault.get("comet") is None
    assert len(key) == 32
    assert key == vault.data_key("outbox") != vault.data_key("chat")

    vault.remove("wandb")
    vault.remove("wandb")

    assert vault.get("wandb") is None
    assert vault.names() == ["huggingface", "odd"]


def test_no_file_ever_has_a_key(vault: Vault, tmp_path: Path) -> None:
    """At no rung does any byte on disk show a key, its name, or the passphrase; and nobody else may read what is there."""
    vault.set("huggingface", Secret(CANARY))
    vault.data_key("outbox")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert sorted(path.name for path in files) == (
        ["vault.lock"] if vault.tier.name == "process" else ["vault.lock", "vault.sealed"]
    )
    for path in files:
        assert not [word for word in (b"Canary", b"huggingface", b"outbox", b"horse") if word in path.read_bytes()]
        assert path.name == "vault.lock" or WINDOWS or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert WINDOWS or stat.S_IMODE((tmp_path / "vault").stat().st_mode) == 0o700


def test_rotating_a_data_key_keeps_the_old_ones_until_they_are_retired(vault: Vault) -> None:
    """What the old key sealed can be read, and sealed again, before the old key goes."""
    old = vault.data_key("outbox")
    new = vault.rotate_data_key("outbox")

    assert new == vault.data_key("outbox") != old
    assert vault.data_keys("outbox") == [new, old]

    vault.retire_data_keys("outbox")

    assert vault.data_keys("outbox") == [new]


@pytest.mark.parametrize("name", ["", "Caps", "a/b", "../x", "data-key:outbox", "a" * 65, "new\nline", "é"])
def test_names_are_plain(name: str, vault: Vault) -> None:
    """A name that could be taken for something else is refused without being quoted: it might be a key in the wrong place."""
    for attempt in (vault.get, vault.remove, vault.data_key, lambda name: vault.set(name, Secret("x"))):
        with pytest.raises(VaultError) as caught:
            attempt(name)
        assert not name or name not in str(caught.value)


def test_another_process_sees_what_was_set(open_vault: Open, keystore: MemoryKeystore) -> None:
    """The file is the truth: two views of it agree after every change, data keys included."""
    one, other = open_vault(keystore), open_vault(keystore)
    one.set("wandb", Secret("one"))
    other.set("comet", Secret("two"))

    assert one.names() == other.names() == ["comet", "wandb"]
    assert one.data_key("outbox") == other.data_key("outbox")

    other.remove("wandb")

    assert one.get("wandb") is None


def test_keystore_holds_one_key_and_no_secret(open_vault: Open, keystore: MemoryKeystore) -> None:
    """Its one entry opens the file, so no length limit of any keystore (Windows: 2,560 bytes) touches a key."""
    open_vault(keystore).set("long", Secret("x" * 100_000))

    assert [len(value.reveal()) for value in keystore.kept.values()] == [44]
    assert open_vault(keystore).get("long") == Secret("x" * 100_000)


def test_locked_until_the_passphrase(open_vault: Open, nowhere: MemoryKeystore) -> None:
    """Another process has to know the passphrase; a wrong one is called that; until then everything that needs the file says so."""
    open_vault(nowhere).move("passphrase", PASSPHRASE)
    vault = open_vault(nowhere)
    assert not vault.tier.is_open
    assert "locked" in str(vault.tier)
    for attempt in (
        vault.names,
        lambda: vault.get("a"),
        lambda: vault.set("a", Secret("b")),
        lambda: vault.data_key("outbox"),
    ):
        with pytest.raises(VaultLocked, match="unlock"):
            attempt()
    with pytest.raises(WrongPassphrase):
        vault.unlock(OTHER)

    opened: list[bool] = []
    vault._opened = lambda: opened.append(vault.tier.is_open)
    vault.unlock(PASSPHRASE)
    vault.set("a", Secret("b"))
    assert vault.tier.is_open
    assert opened == [True]

    vault.lock()
    with pytest.raises(VaultLocked):
        vault.get("a")


def test_a_passphrase_is_a_handle(vault: Vault) -> None:
    """Text is refused with what is wanted, before anything is opened or sealed."""
    for use in (lambda: vault.unlock("four words and more"), lambda: vault.move("passphrase", "four words and more")):  # type: ignore[arg-type]
        with pytest.raises(VaultError, match="given as a Secret") as refused:
            use()
        assert "Secret(getpass())" in refused.value.hint


def test_passphrase_is_the_same_however_it_is_typed(open_vault: Open, nowhere: MemoryKeystore) -> None:
    """Composed or decomposed: systems differ in how they enter é."""
    open_vault(nowhere).move("passphrase", Secret("café au lait"))

    open_vault(nowhere).unlock(Secret("cafe\u0301 au lait"))


@pytest.mark.parametrize("passphrase", [None, Secret("short")])
def test_a_weak_passphrase_is_refused(passphrase: Secret | None, open_vault: Open, nowhere: MemoryKeystore) -> None:
    """Before anything is written."""
    vault = open_vault(nowhere)

    with pytest.raises(VaultError, match="at least 8"):
        vault.move("passphrase", passphrase)

    assert vault.tier.name == "process"


def test_new_passphrase_shuts_out_the_old_one(open_vault: Open, nowhere: MemoryKeystore) -> None:
    """Also those who had opened it with the old one, and every key is sealed anew."""
    vault, other = open_vault(nowhere), open_vault(nowhere)
    vault.move("passphrase", PASSPHRASE)
    vault.set("wandb", Secret("one"))
    other.unlock(PASSPHRASE)

    vault.move("passphrase", OTHER)

    assert vault.get("wandb") == Secret("one")
    with pytest.raises(VaultLocked):
        other.get("wandb")
    with pytest.raises(WrongPassphrase):
        other.unlock(PASSPHRASE)
    other.unlock(OTHER)
    assert other.get("wandb") == Secret("one")


def test_moves_between_keystore_and_passphrase(open_vault: Open, keystore: MemoryKeystore) -> None:
    """Keys and data keys go with it, the keystore keeps nothing that opens nothing, and moving to where it is makes a new key."""
    vault = open_vault(keystore)
    vault.set("wandb", Secret("one"))
    data_key = vault.data_key("outbox")
    first = dict(keystore.kept)

    vault.move("keystore")
    assert len(keystore.kept) == 1
    assert keystore.kept.keys() != first.keys()

    vault.move("passphrase", PASSPHRASE)
    assert keystore.kept == {}
    assert "could open it instead" in vault.tier.why_not_better

    vault.move("keystore")
    again = open_vault(keystore)
    assert again.tier.name == "keystore"
    assert again.get("wandb") == Secret("one")
    assert again.data_key("outbox") == data_key
    with pytest.raises(VaultError, match="needs no passphrase"):
        vault.move("keystore", PASSPHRASE)


def test_keys_that_waited_move_in(open_vault: Open, nowhere: MemoryKeystore) -> None:
    """What was typed before there was a passphrase is sealed with it; what was to stay in this process stays there."""
    vault = open_vault(nowhere)
    vault.set("wandb", Secret("one"))
    vault.set("comet", Secret("two"), keep=False)
    data_key = vault.data_key("outbox")

    vault.move("passphrase", PASSPHRASE)

    other = open_vault(nowhere)
    other.unlock(PASSPHRASE)
    assert other.names() == ["wandb"]
    assert other.data_key("outbox") == data_key
    assert vault.names() == ["comet", "wandb"]


def test_a_data_key_that_waited_joins_the_one_that_is_there(
    open_vault: Open, keystore: MemoryKeystore, nowhere: MemoryKeystore
) -> None:
    """A process without keystore sealed something; another made the vault meanwhile. Neither loses what it sealed."""
    early, late = open_vault(nowhere), open_vault(keystore)
    mine, theirs = early.data_key("outbox"), late.data_key("outbox")

    nowhere.away, nowhere.kept = "", keystore.kept
    early.set("wandb", Secret("one"))

    assert early.data_keys("outbox") == late.data_keys("outbox") == [theirs, mine]


def test_keep_false_stays_in_this_process(vault: Vault, open_vault: Open, keystore: MemoryKeystore) -> None:
    """And comes before what the file has, until it is removed or kept."""
    vault.set("wandb", Secret("kept"))
    vault.set("wandb", Secret("for now"), keep=False)
    assert vault.get("wandb") == Secret("for now")

    vault.set("wandb", Secret("kept again"))
    assert vault.get("wandb") == Secret("kept again")


def test_a_keystore_that_refuses_is_told_and_not_asked_again(open_vault: Open, keystore: MemoryKeystore) -> None:
    """A keystore that is there but locked: the key stays in this process, and the tier says why."""
    vault = open_vault(keystore)
    keystore.away = "KeyringLocked: the prompt was dismissed"

    vault.set("wandb", Secret("one"))
    keystore.away = ""
    vault.set("comet", Secret("two"))

    assert keystore.kept == {}
    assert vault.get("wandb") == Secret("one")
    assert vault.tier.name == "process"
    assert "the prompt was dismissed" in vault.tier.why_not_better
    assert not vault.tier.durable

    vault.move("keystore")

    assert open_vault(keystore).get("wandb") == Secret("one")
    assert vault.tier.name == "keystore"


def test_a_keystore_that_is_away_locks_the_vault(open_vault: Open, keystore: MemoryKeystore) -> None:
    """In a session without desktop the keys are there and out of reach: nothing is thrown away, nothing begins anew by itself."""
    open_vault(keystore).set("wandb", Secret("one"))
    keystore.away = "none runs for this user"
    vault = open_vault(keystore)
    assert not vault.tier.is_open
    assert "none runs for this user" in vault.tier.sentence
    with pytest.raises(VaultLocked, match="none runs for this user"):
        vault.set("wandb", Secret("two"))

    vault.set("comet", Secret("for now"), keep=False)
    assert vault.get("comet") == Secret("for now")

    keystore.away = ""
    assert vault.get("wandb") == Secret("one")


@pytest.mark.parametrize(("left", "error"), [(None, VaultLocked), (Secret("bm90IGEga2V5"), VaultDamaged), (Secret("???"), VaultDamaged),
                                             (Secret("A" * 43 + "="), VaultDamaged)])  # fmt: skip
def test_a_keystore_with_another_key_opens_nothing(
    left: Secret | None, error: type[VaultError], open_vault: Open, keystore: MemoryKeystore
) -> None:
    """Reset, or meddled with: said, and mended by beginning anew."""
    open_vault(keystore).set("wandb", Secret("one"))
    keystore.kept = {name: left for name in keystore.kept if left}
    vault = open_vault(keystore)
    with pytest.raises(error, match="erase"):
        vault.get("wandb")

    vault.erase()
    vault.set("wandb", Secret("two"))

    assert open_vault(keystore).names() == ["wandb"]


class Racing(MemoryKeystore):
    """Between our reading of the file and of its key, somebody else seals the file anew and throws the old key away."""

    def __init__(self, others: MemoryKeystore, move: Callable[[], None]) -> None:
        super().__init__()
        self.kept, self._move = others.kept, [move]

    def read(self, entry: str) -> Secret | None:
        if self._move:
            self._move.pop()()
        return super().read(entry)


def test_a_key_that_is_changed_while_we_read_is_read_again(open_vault: Open, keystore: MemoryKeystore) -> None:
    """A reader takes no lock, and is right all the same."""
    other = open_vault(keystore)
    other.set("wandb", Secret("one"))

    assert open_vault(Racing(keystore, lambda: other.move("keystore"))).get("wandb") == Secret("one")


def test_erase_leaves_nothing(vault: Vault, tmp_path: Path, keystore: MemoryKeystore) -> None:
    """Neither file nor keystore entry nor what this process had."""
    vault.set("wandb", Secret("one"))
    vault.set("comet", Secret("two"), keep=False)

    vault.erase()

    assert keystore.kept == {}
    assert [path.name for path in (tmp_path / "vault").iterdir()] == ["vault.lock"]
    assert vault.names() == []


def test_a_vault_shows_nothing_and_stays_here(vault: Vault) -> None:
    """Neither its name nor its variables have a key; it cannot be pickled."""
    vault.set("huggingface", Secret(CANARY))

    assert "Canary" not in repr(vault) + repr(vars(vault)) + repr(vars(vault._file))
    with pytest.raises(TypeError):
        pickle.dumps(vault)


def test_the_redactor_learns_what_passes(tmp_path: Path, nowhere: MemoryKeystore) -> None:
    """Every key that goes in or out, and the passphrase, is taken out of what is written from then on."""
    before = Vault(tmp_path, keystore=nowhere, cost=CHEAP, redactor=Redactor())
    before.set("two", Secret("comes-out"))
    before.move("passphrase", PASSPHRASE)
    redactor = Redactor()
    vault = Vault(tmp_path, keystore=nowhere, cost=CHEAP, redactor=redactor)
    vault.unlock(PASSPHRASE)
    vault.set("one", Secret("goes-in"))
    assert redactor.text("correct horse battery, goes-in, comes-out") == "***, ***, comes-out"

    vault.get("two")
    assert redactor.text("comes-out") == "***"
