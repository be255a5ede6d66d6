"""Who has the keys of rented machines' providers: an order without them is refused, and no machine loses those that it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio import Studio
from peft_studio._studio import spending
from peft_studio._studio.watch_keys import read_watch_keys
from peft_studio.core.errors import RentError, VaultError, VaultLocked
from peft_studio.core.ports.platform import Account
from peft_studio.core.redact import Secret
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.connections import Record
from peft_studio.core.services.rent.again import NewCaps
from peft_studio.core.services.rent.held import find_held, note_held
from peft_studio.core.services.rent.reconciler import Reconciler
from tests.rent_home import RentHome
from tests.unit.core.runs.conftest import build_spec

OPEN = Secret("correct horse battery")


@pytest.fixture
def rented(tmp_path: Path) -> RentHome:
    return RentHome(tmp_path / "home")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Whose keys each process that is started to watch was given."""
    started: list[set[str]] = []
    monkeypatch.setattr(spending, "BEGIN_S", 3600.0)
    monkeypatch.setattr(
        "peft_studio._studio.machines.start_watching",
        lambda home, folder, given: started.append(set(read_watch_keys(given.decode()))),
    )
    return started


Visit = Callable[..., Studio]


@pytest.fixture
def visit(rented: RentHome, given: list[set[str]], monkeypatch: pytest.MonkeyPatch) -> Visit:
    """A process of this home, whose keys are in a locked vault; some may be kept in it alone."""
    monkeypatch.delenv("PEFT_STUDIO_CONNECTORS", raising=False)
    home = rented.folder.parent
    first = Studio(home=home)
    first.vault.move("passphrase", OPEN)
    first.vault.set("runpod", Secret("k" * 30))
    first._connections._write("runpod", Record(account=Account(name="me"), secrets=("key",)))

    def _visit(*own: str) -> Studio:
        studio = Studio(home=home)
        for name in own:
            studio.vault.set(name, Secret(name[:1] * 30), keep=False)
            studio._connections._write(name, Record(account=Account(name="me"), secrets=("key",)))
        return studio

    return _visit


def test_nothing_is_ordered_without_the_keys(visit: Visit, rented: RentHome) -> None:
    """Nor a run gone on with: with the vault's own way out; not connected is said as such; unlocked, it is accepted."""
    studio = visit()
    with pytest.raises(VaultLocked) as locked:
        studio._machines.keys.require(["runpod"])
    assert "unlock" in locked.value.hint
    with pytest.raises(RentError, match="vastai is not connected"):
        studio._machines.keys.require(["vastai"])
    studio.vault.unlock(OPEN)
    studio._machines.keys.require(["runpod"])


def test_a_key_that_this_process_has_forgotten_is_not_there(visit: Visit) -> None:
    """Locking drops what it alone had: an order is not made with nothing in the place of a key."""
    studio = visit("vastai")
    studio._machines.keys.require(["vastai"])
    studio.vault.lock()
    with pytest.raises(VaultError):
        studio._machines.keys.require(["vastai"])
    assert studio._machines.keys.read() == {}


def test_a_run_does_not_go_on_without_the_keys(visit: Visit, rented: RentHome, given: list[set[str]]) -> None:
    """Refused before anything is written down."""
    studio = visit()
    folder = studio._store().create(build_spec())
    rented.rent(folder.id, lasted_h=0.5)
    mirror = Mirror(folder)
    mirror.say(ev.Finished(state="stopped"))
    mirror.close()
    compute = studio._find_compute(folder)
    with pytest.raises(VaultLocked):
        compute._rent(folder, NewCaps())  # type: ignore[attr-defined]
    assert (len(rented.store.list_run(folder.id)), given) == (1, [])


def test_whoever_watches_with_the_keys_is_enough(visit: Visit, rented: RentHome) -> None:
    """This process need not read them, as long as that one is there."""
    studio = visit()
    with rented.watched():
        note_held(rented.folder, ["runpod"])
        studio._machines.keys.require(["runpod"])
    with pytest.raises(VaultLocked):
        studio._machines.keys.require(["runpod"])


def test_unlocking_gives_the_keys_to_whoever_watches(visit: Visit, rented: RentHome, given: list[set[str]]) -> None:
    """As connecting does, where a machine of such a provider is open, and only there."""
    studio = visit()
    with rented.watched():
        note_held(rented.folder, [])
        studio.vault.unlock(OPEN)
        assert given == []
        rented.rent()
        studio.vault.lock()
        studio.vault.unlock(OPEN)
    assert given == [{"runpod"}]


def test_some_keys_take_no_place_of_more(
    visit: Visit, rented: RentHome, given: list[set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A process with another provider's alone leaves the one that watches, says so, and orders nothing; with all it takes over."""
    studio = visit("vastai")
    machines = studio._machines
    rented.rent()
    with rented.watched():
        note_held(rented.folder, ["runpod"])
        assert "keys of runpod" in machines.ensure_watched()
        with pytest.raises(VaultError, match="Nothing was rented at vastai") as refused:
            machines.keys.require(["vastai"])
        assert "studio.connect('runpod')" in refused.value.hint
        rented.rent("r-20261126-101112-00000b", provider="vastai")
        studio._connected("vastai")
        assert "keys of runpod" in capsys.readouterr().err
        assert given == []
        studio.vault.unlock(OPEN)
        assert given == [{"runpod", "vastai"}]
        machines.keys.require(["vastai"])


def test_who_watches_without_saying_whose_keys_he_has(visit: Visit, rented: RentHome) -> None:
    """He may have those of every machine that is open."""
    studio = visit("vastai")
    rented.rent()
    with rented.watched():
        assert find_held(rented.folder) is None
        assert studio._machines.keys.find_lost(["vastai"]) == ["runpod"]
        note_held(rented.folder, ["vastai"])
        assert studio._machines.keys.find_lost([]) == []
    assert find_held(rented.folder) == frozenset()


@pytest.mark.parametrize(("held", "takes"), [(["runpod"], False), (["vastai"], True), ([], True)])
def test_the_process_itself_looks_before_it_takes_over(
    visit: Visit, rented: RentHome, monkeypatch: pytest.MonkeyPatch, held: list[str], *, takes: bool
) -> None:
    """By then another one may watch than when it was started."""
    said: list[tuple[bool, set[str]]] = []

    def run(self: Reconciler, *, take_over: bool, holds: set[str]) -> bool:
        said.append((take_over, set(holds)))
        return False

    monkeypatch.setattr(Reconciler, "run", run)
    studio = visit("vastai")
    rented.rent()
    with rented.watched():
        note_held(rented.folder, held)
        studio._watch_rentals(read_watch_keys(json.dumps({"vastai": {"key": "v" * 30}})))
    assert said == [(takes, {"vastai"})]


def test_who_was_not_asked_is_named_with_the_reason(visit: Visit, rented: RentHome) -> None:
    """Asked anew with a locked vault: the machines as they were, and that this is old; the same with what was charged."""
    studio = visit()
    rented.rent()
    rented.rent("r-20261126-101112-00000b", provider="vastai")
    with rented.watched():
        notes = studio.rentals(refresh=True).warnings
        charged = studio.spend(refresh=True).notes
    assert [note.split(".")[0] for note in notes] == [
        f"{name} was not asked for its machines" for name in ("runpod", "vastai")
    ]
    assert "The vault is locked. `vault.unlock" in notes[0]
    assert "vastai is not connected" in notes[1]
    assert "The vault is locked. `vault.unlock" in charged[0]
    assert charged[1] == "vastai: not connected, so it cannot be asked what it charged."
    assert studio._machines._say_blind("runpod") == "runpod cannot be asked. The vault is locked."
    assert studio._machines._say_blind("vastai") == "vastai is not connected, so nothing can be asked of it."
