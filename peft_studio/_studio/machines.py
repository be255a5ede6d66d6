"""How rented machines are wired: records, providers through the catalog, the way to each machine, and the process that looks after them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from peft_studio._studio.watch_keys import WatchKeys, write_watch_keys
from peft_studio.core.errors import NotReadyError, RentError, StudioError, VaultError
from peft_studio.core.ports.platform import Capability, Keys, Role
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.hub_needs import HUB
from peft_studio.core.services.rent.compute import RentedCompute
from peft_studio.core.services.rent.desk import Desk
from peft_studio.core.services.rent.followers import Followers
from peft_studio.core.services.rent.hub_pass import check_access, comes_from_hub, is_closed
from peft_studio.core.services.rent.keeper import say_not_connected
from peft_studio.core.services.rent.limits import read_limits
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.order import PORT, Passes, build_rent
from peft_studio.core.services.rent.reconciler import Reconciler, start_watching
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.through import CatalogRental

if TYPE_CHECKING:
    from peft_studio.connectors.base.node import NodeClient
    from peft_studio.connectors.base.ssh import SshHome
    from peft_studio.connectors.base.ssh_doors import SshDoors
    from peft_studio.core.ports.catalog import Catalog
    from peft_studio.core.ports.rental import Instance, Rent
    from peft_studio.core.redact import Secret
    from peft_studio.core.services.connections import Connections
    from peft_studio.core.services.rent.again import NewCaps
    from peft_studio.core.services.rent.record import Intent, Record

LOOK_S = 5.0


class Machines:
    """Those of one home."""

    def __init__(self, home: Path, catalog: Catalog, connections: Connections) -> None:
        self.folder = home / "rent"
        self._home, self._catalog, self._connections = home, catalog, connections
        self._rentals: dict[str, CatalogRental] = {}
        self._looked_at: dict[str, float] = {}
        self._hub_keys: Keys | None = None

    @cached_property
    def desk(self) -> Desk:
        """Where machines are ordered, stopped and looked at."""
        return Desk(SqliteStore(self.folder))

    def rentals(self) -> Mapping[str, CatalogRental]:
        """Providers that can be asked now."""
        names = [name for name in self._connections.list_ready(Role.COMPUTE) if not self._catalog.get_info(name).local]
        ready = []
        for name in names:
            with contextlib.suppress(StudioError):  # its key cannot be read now
                self._connections.make_ready(name)
                self._rentals.setdefault(name, CatalogRental(self._catalog, name))
                ready.append(name)
        return {name: self._rentals[name] for name in ready}

    def compute(self, provider: str, rent: Callable[[RunFolder, NewCaps], None]) -> RentedCompute:
        """The runs of one provider's machines."""
        return RentedCompute(provider, self.desk.store, rent=rent, reach=self.reach)

    @cached_property
    def keys(self) -> WatchKeys:
        """What the process that looks after the machines can be given."""
        return WatchKeys(self.folder, self._connections, ready=self.rentals, needed=self._find_needed)

    def ensure_watched(self) -> str:
        """See to it that a process looks after the machines, with the keys that this one can read. After an order.

        Returns why it was not given them; empty where it was.
        """
        keys = self.keys.read()
        if why := self.keys.say_lost(keys):
            return why
        start_watching(self._home, self.folder, given=write_watch_keys(keys))
        return ""

    def list_wanted(self) -> frozenset[str]:
        """The providers of machines that are there, or may be bought."""
        open_ones = [record.intent for record in self.desk.store.list_open()]
        return frozenset(
            name for one in open_ones for name in (one.provider, *(offer.provider for offer in one.offers))
        )

    def _find_needed(self) -> frozenset[str]:
        closed = any(is_closed(self._folder_of(record.intent.run_id)) for record in self.desk.store.list_open())
        return self.list_wanted() | ({HUB} if closed else set())

    def watch(self, keys: Mapping[str, Keys]) -> bool:
        """Look after the machines, in this process, until none is left; False where another one does."""
        for name, given in keys.items():
            self._connections.hold(name, given)
        self._hub_keys = keys.get(HUB)
        followers = Followers(
            self.desk.store,
            RunStore(self._home),
            reach=self.reach,
            model_of=self._model_of,
            now=read_now,
            forget=self._forget,
            note_start=self._note_start,
            token_of=self._token_of,
        )
        holds = self.keys.read().keys() | keys.keys()
        return self._reconciler(beside=followers).run(
            take_over=bool(keys) and not self.keys.find_lost(holds), holds=holds
        )

    def sweep(self) -> list[str]:
        """Look once at every connected provider's list: what is due is done, what is nobody's is shown. Returns who could not be asked."""
        faults = {name: self.keys.find_fault(name) for name in self._list_asked()}
        unasked = [
            f"{name} was not asked for its machines. {why.message} {why.hint}" for name, why in faults.items() if why
        ]
        return unasked + self._reconciler().sweep()

    def _list_asked(self) -> list[str]:
        """Those that are to be asked: the connected ones, and those of machines that are there."""
        remote = {name for name in self._connections.list_ready(Role.COMPUTE) if not self._catalog.get_info(name).local}
        return sorted(remote | self.list_wanted())

    def _say_blind(self, name: str) -> str:
        fault = self.keys.find_fault(name)
        return f"{name} cannot be asked. {fault.message}" if isinstance(fault, VaultError) else say_not_connected(name)

    def fetch_bills(self) -> list[str]:
        """Ask the providers what they charged, and keep it. Returns what a person should know."""
        from peft_studio.core.services.invoices import fetch_bills

        asked = self.rentals()
        why_not = {name: self._catalog.find_reason(name, Capability.INVOICE) for name in asked}
        for name in set(self._connections.list_ready(Role.COMPUTE)) - set(asked):
            if isinstance(fault := self.keys.find_fault(name), VaultError):
                why_not[name] = f"it was not asked what it charged. {fault.message} {fault.hint}"
        return fetch_bills(self.desk, {name: asked[name] for name, why in why_not.items() if not why}, why_not=why_not)

    def _reconciler(self, beside: Followers | None = None) -> Reconciler:
        return Reconciler(
            self.desk.store, self.folder, rentals=self.rentals, build_rent=self._build_rent, beside=beside, limits=read_limits(),
            say_blind=self._say_blind,
        )  # fmt: skip

    def reach(self, record: Record) -> NodeClient | None:
        """The way to a record's machine; None while it has none. Once that is known no key of its provider's is needed."""
        self.rentals()
        rental = self._rentals.get(record.intent.provider)
        known = Passes(self._folder_of(record.intent.run_id)).find(record.label)
        if rental is None or known is None or record.done.made != "made":
            return None
        machine = self._find(rental, record)
        if machine is None:
            return None
        from peft_studio.connectors.base.node import NodeClient

        address = machine.addresses.get(PORT)
        if machine.ssh and rental.way.door == "tunnel":
            address = self._ssh_doors.find_address(
                record.label, machine.ssh, PORT, platform=rental.info.name, secrets=known.environment
            )
        return NodeClient(address, known.token, certificate=known.certificate) if address else None

    def _find(self, rental: CatalogRental, record: Record) -> Instance | None:
        """A record's machine as last listed; listed anew where it had no address yet."""
        found, name = rental.seen.get(record.done.instance_id), record.intent.provider
        lacks = found is None or not (found.addresses or found.ssh)
        if lacks and time.monotonic() - self._looked_at.get(name, float("-inf")) > LOOK_S:
            self._looked_at[name] = time.monotonic()
            rental.list_instances()
        return rental.seen.get(record.done.instance_id)

    def _build_rent(self, intent: Intent) -> Rent:
        rental = self.rentals().get(intent.provider)
        if rental is None:
            raise self.keys.find_fault(intent.provider) or RentError(f"{intent.provider} cannot be asked.")
        given = Passes(self._folder_of(intent.run_id)).make(intent, tls=rental.way.door == "tls")
        if rental.way.door != "tunnel":
            return build_rent(intent, given, rental.way)
        keys = self._ssh_home
        return build_rent(intent, given, rental.way, public_key=keys.public_key(), host_key=keys.host_key(intent.label))

    def _forget(self, record: Record) -> None:
        """What led to a machine that is proven gone."""
        Passes(self._folder_of(record.intent.run_id)).forget(record.label)
        self._ssh_doors.forget(record.label)

    def _note_start(self, record: Record, seconds: float, install_s: float | None) -> None:
        from peft_studio.core.services.start_history import record_start

        offer = record.intent.offer
        if offer:
            record_start(self._home, record.intent.provider, offer.gpu or "", seconds=seconds, install_s=install_s)

    def _folder_of(self, run_id: str) -> RunFolder:
        return RunFolder(RunStore(self._home).runs / run_id)

    @cached_property
    def _ssh_home(self) -> SshHome:
        from peft_studio.connectors.base.ssh import SshHome

        return SshHome(self._home / "ssh")

    @cached_property
    def _ssh_doors(self) -> SshDoors:
        from peft_studio.connectors.base.ssh_doors import SshDoors

        return SshDoors(self._ssh_home)

    def check_model(self, model: str, *, machines: int = 1) -> bool:
        """Whether a machine needs the hub's token for a base model; raises where it would not get it. See :func:`check_access`."""
        if not comes_from_hub(model) or not self._catalog.is_enabled(HUB):
            return False
        self._connections.make_ready(HUB)
        closed = check_access(self._catalog, model, has_token=bool(self._connections.read_keys(HUB)))
        if closed and machines > 1:
            raise NotReadyError(
                f"{model} is gated or private, and of several machines that share a run only the first gets your token.",
                hint="Launch it on one machine. Nothing was rented.", fields=("model",),
            )  # fmt: skip
        return closed

    def _token_of(self, folder: RunFolder) -> Secret | None:
        if not is_closed(folder):
            return None
        return (self._hub_keys or self._connections.read_keys(HUB)).get("token")

    def _model_of(self, model: str) -> Path | None:
        from peft_studio.core.models import find_prepared

        # What is on a hub comes to the machine from there, on a better line than ours.
        return None if comes_from_hub(model) else find_prepared(model, self._home)
