"""How rented machines are wired: records, providers through the catalog, the way to each machine, and the process that looks after them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import RentError, StudioError
from peft_studio.core.ports.platform import Role
from peft_studio.core.redact import Secret
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.compute import RentedCompute
from peft_studio.core.services.rent.followers import Followers
from peft_studio.core.services.rent.keeper import Keeper
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.order import PORT, Passes, build_rent
from peft_studio.core.services.rent.record import Intent, Record
from peft_studio.core.services.rent.replies import build_intent
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.through import CatalogRental
from peft_studio.core.services.rent.watch import watch
from peft_studio.core.system import detached

if TYPE_CHECKING:
    from peft_studio.connectors.base.node import NodeClient
    from peft_studio.core.ports.catalog import Catalog
    from peft_studio.core.ports.offers import Offer
    from peft_studio.core.ports.rental import Instance, Rent
    from peft_studio.core.services.connections import Connections

LOOK_S = 5.0
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class Machines:
    """Those of one home."""

    def __init__(self, home: Path, catalog: Catalog, connections: Connections) -> None:
        self._home, self._catalog, self._connections = home, catalog, connections
        self._rentals: dict[str, CatalogRental] = {}
        self._looked_at: dict[str, float] = {}

    @cached_property
    def store(self) -> SqliteStore:
        """The records of this home."""
        return SqliteStore(self._home / "rent")

    def rentals(self) -> Mapping[str, CatalogRental]:
        """Providers that can be asked now."""
        ready = self._connections.list_ready(Role.COMPUTE)
        for name in ready:
            try:
                self._connections.make_ready(name)
            except StudioError:  # its key cannot be read now
                self._rentals.pop(name, None)
            else:
                self._rentals.setdefault(name, CatalogRental(self._catalog, name))
        return {name: self._rentals[name] for name in ready if name in self._rentals}

    def intend(
        self, folder: RunFolder, offers: Sequence[Offer], *, lifetime_s: float, budget_usd: Decimal | None
    ) -> Record:
        """Write down durably that a machine is to be rented for a run. Nothing is asked for yet."""
        draft = Intent(
            label="", run_id=folder.id, attempt=len(self.store.list_run(folder.id)) + 1, provider=offers[0].provider, at=read_now(),
            offers=tuple(offers), max_usd_per_hour=max(offer.usd_per_hour for offer in offers), budget_usd=budget_usd,
            lifetime_s=lifetime_s,
        )  # fmt: skip
        return self.store.put(build_intent(draft, home=self.store.home_tag(), left_usd=budget_usd))

    def compute(self, provider: str, rent: Callable[[RunFolder], None]) -> RentedCompute:
        """The runs of one provider's machines."""
        return RentedCompute(provider, self.store, rent=rent, reach=self.reach)

    def start_watching(self) -> None:
        """See to it that a process looks after the machines, with the keys that this one can read; they travel by its input alone."""
        keys = {name: self._connections.read_keys(name) for name in self.rentals()}
        given = json.dumps({name: {field: key.reveal() for field, key in of.items()} for name, of in keys.items()})
        command = [sys.executable, "-m", "peft_studio._studio.watch_machines", str(self._home)]
        with (self._home / "rent" / "watch.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, **detached())
        assert process.stdin
        process.stdin.write(given.encode())
        process.stdin.close()

    def watch(self, keys: Mapping[str, Mapping[str, str]]) -> bool:
        """Look after the machines, in this process, until none is left."""
        for name, given in keys.items():
            self._connections.hold(name, {field: Secret(value) for field, value in given.items()})
        runs = RunStore(self._home)
        followers = Followers(self.store, runs, reach=self.reach, model_of=self._model_of, now=read_now)
        return watch(self._home / "rent", self.store, keeper_of=self._keeper_of, followers=followers)

    def reach(self, record: Record) -> NodeClient | None:
        """The way to a record's machine; None while it has none."""
        rental = self.rentals().get(record.intent.provider)
        known = Passes(RunFolder(RunStore(self._home).runs / record.intent.run_id)).find(record.label)
        if rental is None or known is None or record.done.made != "made":
            return None
        machine = self._find(rental, record)
        if machine is None:
            return None
        from peft_studio.connectors.base.node import NodeClient

        address = machine.addresses.get(PORT)
        pinned = rental.way.door == "tls"
        return NodeClient(address, known.token, certificate=known.certificate if pinned else None) if address else None

    def _find(self, rental: CatalogRental, record: Record) -> Instance | None:
        """A record's machine as last listed; listed anew where it had no address yet."""
        found, name = rental.seen.get(record.done.instance_id), record.intent.provider
        if (found is None or not found.addresses) and time.monotonic() - self._looked_at.get(
            name, float("-inf")
        ) > LOOK_S:
            self._looked_at[name] = time.monotonic()
            rental.list_instances()
        return rental.seen.get(record.done.instance_id)

    def _keeper_of(self, provider: str) -> Keeper:
        return Keeper(
            provider,
            self.store,
            rentals=self.rentals,
            build_rent=self._build_rent,
            token=uuid.uuid4().hex,
            now=read_now,
        )

    def _build_rent(self, intent: Intent) -> Rent:
        rental = self.rentals().get(intent.provider)
        if rental is None:
            raise RentError(
                f"{intent.provider} is not connected.", hint=f"studio.connect({intent.provider!r}) connects it."
            )
        known = Passes(RunStore(self._home).folder(intent.run_id)).make(intent.label, valid_s=intent.lifetime_s)
        return build_rent(intent, known, rental.way)

    def _model_of(self, model: str) -> Path | None:
        from peft_studio.core.models import find_prepared

        # What is on a hub comes to the machine from there, on a better line than ours.
        return None if _HUB_ID.fullmatch(model) and not Path(model).exists() else find_prepared(model, self._home)


def read_given_keys() -> dict[str, Any]:
    """Keys from this process's input, as :meth:`Machines.start_watching` writes them; none from a terminal."""
    text = "" if sys.stdin is None or os.isatty(sys.stdin.fileno()) else sys.stdin.read()
    return dict(json.loads(text)) if text.strip() else {}
