"""What the process that watches rented machines is given."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from peft_studio import Studio
from peft_studio._studio.watch_keys import read_watch_keys
from peft_studio.core.errors import VaultLocked
from peft_studio.core.redact import REDACTOR
from peft_studio.core.services.rent.order import PORT, Passes
from peft_studio.core.services.rent.record import Record
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.services.rent.world import intent, machine, made


def test_keys_that_the_watching_process_is_given_are_hidden_there() -> None:
    """They do not come from its vault."""
    key = "qq81" + "zv73xk20"
    [[found]] = [of.values() for of in read_watch_keys(f'{{"alpha": {{"api_key": "{key}"}}}}').values()]
    assert found.reveal() == key
    assert key not in REDACTOR.text(f"alpha does not like {key} today")


def test_a_machine_is_reached_without_its_providers_key(monkeypatch: pytest.MonkeyPatch, studio: Studio) -> None:
    """Its door has a key of its own: a run is followed, and a machine that nobody wants hears it, also once the provider is not to be asked."""
    run_folder = studio._store().create(build_spec())
    wanted = replace(intent(), run_id=run_folder.id)
    Passes(run_folder).make(wanted, tls=True)
    machines = studio._machines
    listed = machine().model_copy(update={"addresses": {PORT: "192.0.2.1:8443"}})
    known = SimpleNamespace(seen={"i1": listed}, way=SimpleNamespace(door="tls"))
    connections = SimpleNamespace(list_ready=lambda role: ["alpha"], make_ready=lambda name: None)
    monkeypatch.setattr(machines, "_connections", connections)
    monkeypatch.setattr(machines, "_catalog", SimpleNamespace(get_info=lambda name: SimpleNamespace(local=False)))
    monkeypatch.setattr("peft_studio._studio.machines.CatalogRental", lambda catalog, name: known)
    assert machines.rentals() == {"alpha": known}

    def locked(name: str) -> None:
        raise VaultLocked("The vault is locked.")

    connections.make_ready = locked
    assert machines.rentals() == {}
    node = machines.reach(Record(wanted, done=made()))
    assert node is not None
    node.close()
