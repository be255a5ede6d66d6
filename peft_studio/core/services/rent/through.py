"""Providers of machines as the catalog runs them: every call has an end, and what strangers' code does wrong is an error like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import AwareDatetime

from peft_studio.core.errors import ConnectorError, Unavailable
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.offers import OfferQuery, Offers
from peft_studio.core.ports.platform import Account, Capability, Value
from peft_studio.core.ports.rental import Ended, Instance, Instances, Invoice, LogLines, Rent, Rental, Way

V = TypeVar("V", bound=Value)

CALL_S = 60.0
BUY_S = 100.0  # its door gives up before


class CatalogRental:
    """One provider. Implements :class:`peft_studio.core.ports.rental.Rental`; ``seen`` has its machines as last listed, by id."""

    def __init__(self, catalog: Catalog, name: str) -> None:
        self._catalog, self._name = catalog, name
        self.info = catalog.get_info(name)
        self.unsupported: Mapping[Capability, str] = MappingProxyType(
            {}
        )  # the catalog's clauses are about the connector itself
        self.seen: dict[str, Instance] = {}
        self._way: Way | None = None

    @property
    def way(self) -> Way:
        """How its machines are reached, and how they end themselves."""
        if self._way is None:
            self._way = self._call(Way, lambda rental: rental.way)
        return self._way

    def connect(self) -> Account:
        """Prove the keys."""
        return self._call(Account, lambda rental: rental.connect())

    def list_offers(self, query: OfferQuery) -> Offers:
        """What is on sale now."""
        return self._call(Offers, lambda rental: rental.list_offers(query))

    def submit_job(self, rent: Rent) -> Instance:
        """Buy a machine. Where the call was given up, it may have been made all the same."""
        came_back = False

        def buy(rental: Rental) -> Instance:
            nonlocal came_back
            try:
                return rental.submit_job(rent)
            finally:
                came_back = True

        try:
            return self._catalog.start(self._name, Instance, buy, deadline_s=BUY_S).result()
        except Unavailable as exc:
            raise exc if came_back else _in_doubt(exc) from exc

    def list_instances(self) -> Instances:
        """All machines of the account."""
        found = self._call(Instances, lambda rental: rental.list_instances())
        self.seen = {one.id: one for one in found.instances}
        return found

    def end_instance(self, instance_id: str) -> Ended:
        """Ask for the end of a machine."""
        return self._call(Ended, lambda rental: rental.end_instance(instance_id))

    def stream_logs(self, instance_id: str, after: str | None) -> LogLines:
        """What a machine printed, where its provider shows that."""
        return self._call(LogLines, lambda rental: rental.stream_logs(instance_id, after))

    def list_charges(self, since: AwareDatetime) -> Invoice:
        """What was billed, where its provider says that."""
        return self._call(Invoice, lambda rental: rental.list_charges(since))

    def _call(self, kind: type[V], work: Callable[[Any], Any]) -> V:
        return self._catalog.start(self._name, kind, work, deadline_s=CALL_S).result()


def _in_doubt(error: ConnectorError) -> ConnectorError:
    return Unavailable(error.message, hint=error.hint, platform=error.platform, may_have_happened=True)
