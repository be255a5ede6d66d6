"""How rented machines are wired: providers through the catalog's lanes, the store in the home, the process that watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from peft_studio.core.errors import RentError, StudioError
from peft_studio.core.ports.platform import Capability, ConnectorInfo, Role, Value
from peft_studio.core.ports.rental import Ended, Instance, Instances, Rent, Rental
from peft_studio.core.services.rent.reconciler import Reconciler, start_watching
from peft_studio.core.services.rent.sqlite_store import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from peft_studio._studio.platforms import Platforms
    from peft_studio.core.ports.catalog import Catalog
    from peft_studio.core.services.rent.record import Intent

V = TypeVar("V", bound=Value)
CALL_S = 60.0  # less than a worker holds a record: rent/limits.py


class CatalogRental:
    """One provider's machines through its lane: a call that hangs is given up, whatever its connector does."""

    unsupported: Mapping[Capability, str]

    def __init__(self, catalog: Catalog, info: ConnectorInfo, *, make_ready: Callable[[str], None]) -> None:
        self.info, self.unsupported = info, {}
        self._catalog, self._make_ready = catalog, make_ready

    def list_instances(self) -> Instances:
        """All machines of the account, or an error."""
        return self._call(Instances, lambda rental: rental.list_instances())

    def submit_job(self, rent: Rent) -> Instance:
        """Buy one; an error leaves it open whether it was bought, unless the provider surely refused."""
        return self._call(Instance, lambda rental: rental.submit_job(rent))

    def end_instance(self, instance_id: str) -> Ended:
        """Ask for its end."""
        return self._call(Ended, lambda rental: rental.end_instance(instance_id))

    def _call(self, kind: type[V], work: Callable[[Any], Any]) -> V:
        self._make_ready(self.info.name)
        return self._catalog.start(self.info.name, kind, work, deadline_s=CALL_S).result()


def folder_of(studio: Platforms) -> Path:
    """Where a home's records of rented machines are."""
    return studio.home / "rent"


def open_store(studio: Platforms) -> SqliteStore:
    """The records of a home."""
    return SqliteStore(folder_of(studio))


def find_rentals(studio: Platforms) -> Mapping[str, Rental]:
    """The connected providers of machines, as they are now."""
    ready = set(studio._connections.list_ready(Role.COMPUTE))
    infos = [info for info in studio._catalog.list_infos(Role.COMPUTE) if info.name in ready and not info.local]
    return {
        info.name: cast("Rental", CatalogRental(studio._catalog, info, make_ready=studio._connections.make_ready))
        for info in infos
    }


def build_rent(intent: Intent) -> Rent:
    """What to buy for an intent. The run-level brings its own; without it machines are looked after and none is bought."""
    raise RentError(f"Nothing here knows how {intent.label} is set up.", hint="It is looked after all the same.")


def build_reconciler(studio: Platforms, build: Callable[[Intent], Rent] = build_rent) -> Reconciler:
    """The watcher of a home. ``build``: from the run-level."""

    def rentals() -> Mapping[str, Rental]:
        try:
            return find_rentals(studio)
        except StudioError:  # a vault that is locked: said as "not connected", tried again at the next turn
            return {}

    return Reconciler(open_store(studio), folder_of(studio), rentals=rentals, build_rent=build)


def ensure_watched(studio: Platforms) -> None:
    """Start the process that watches, unless one does. After a record was put."""
    start_watching(studio.home, folder_of(studio))
