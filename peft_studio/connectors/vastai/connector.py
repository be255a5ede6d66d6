"""Vast.ai's answers as values of the rental port."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import AwareDatetime

from peft_studio.connectors.base.answer import unreadable
from peft_studio.connectors.base.reading import text
from peft_studio.connectors.vastai import INFO
from peft_studio.connectors.vastai.api import VastApi
from peft_studio.connectors.vastai.errors import PLATFORM, NoSuch
from peft_studio.connectors.vastai.purchase import build_purchase, disk_gb
from peft_studio.connectors.vastai.values import read_charge, read_instance, read_offers, usd
from peft_studio.core.errors import SoldOut
from peft_studio.core.ports.offers import Offer, OfferQuery, Offers
from peft_studio.core.ports.platform import Account, Capability, Keys
from peft_studio.core.ports.rental import (
    Ended,
    Instance,
    Instances,
    InstanceState,
    Invoice,
    LogLines,
    Rent,
    SelfEnd,
    Way,
)

KEEP_S = 120.0  # a search counts against a daily quota; Vast.ai renews its offers every few minutes
MEMORY_SHORT = 0.94  # cards show so much of what they are sold with
TAIL, LONGEST_LINE = 5000, 10_000
KNOWN_BY = 20  # lines by which the end of the last answer is found in the next


class VastAi:
    """One account. Implements :class:`peft_studio.core.ports.rental.Rental`, with Bills and BootLogs.

    Machines are reached at mapped ports of their hosts, in the clear: what listens there must bring its own TLS. Secrets of a purchase
    are in its container's environment, where the owner of the host could read them, as he could the memory.
    """

    info = INFO
    unsupported: Mapping[Capability, str] = {}

    def __init__(self, keys: Keys) -> None:
        self._api = VastApi(keys["key"])
        # Vast.ai puts both variables into every container; the key can start, stop and destroy that one, and nothing else.
        own = f"{self._api.address}/api/v0/instances/${{CONTAINER_ID}}/"
        self.way = Way(door="tls", self_end=SelfEnd(url=own, key="CONTAINER_API_KEY"))
        self._found: dict[OfferQuery, tuple[float, Offers]] = {}

    def connect(self) -> Account:
        """Whose key it is, and what is left to spend."""
        me = self._api.me()
        name = text(me, "email") or text(me, "username") or (str(me["id"]) if isinstance(me.get("id"), int) else "")
        if not name:
            raise unreadable(PLATFORM, "a user without a name")
        credit = usd(me.get("credit", me.get("balance")))  # its documentation says one, its specification the other
        return Account(name=name, note="" if credit is None else f"${credit:.2f} of credit.")

    def list_offers(self, query: OfferQuery) -> Offers:
        """Machines of verified hosts that are free now, cheapest first, on demand and for bids. The same question within two minutes
        gets the same answer."""
        known = self._found.get(query)
        if known is not None and time.monotonic() - known[0] < KEEP_S:
            return known[1]
        now = datetime.now(UTC)
        found: list[Offer] = []
        for spot in (False, True) if query.spot is None else (query.spot,):
            rows = self._api.search(_filters(query, spot=spot))
            found += read_offers(rows, spot=spot, disk_gb=disk_gb(query.disk_gib), now=now, gpu=query.gpu)
        offers = Offers(offers=tuple(sorted(found, key=lambda offer: offer.usd_per_hour)))
        self._found[query] = (time.monotonic(), offers)
        return offers

    def submit_job(self, rent: Rent) -> Instance:
        """Rent the machine of an offer. Its boot script is run by its container's first command."""
        body = build_purchase(rent)
        try:
            number = self._api.create(rent.offer.id.partition(":")[0], body)
        except SoldOut:
            self._found.clear()
            raise
        return Instance(
            id=number, label=rent.label, state=InstanceState.PROVISIONING, billed="storage", gpu=rent.offer.gpu,
            gpu_count=rent.offer.gpu_count, region=rent.offer.region,
        )  # fmt: skip

    def list_instances(self) -> Instances:
        """All machines of the account. One that cannot be read is an error: it would look as if it were gone."""
        found = {one.id: one for one in map(read_instance, self._api.list_instances())}
        return Instances(instances=tuple(found.values()))

    def end_instance(self, instance_id: str) -> Ended:
        """Destroy it, and its disk."""
        if not (instance_id.isascii() and instance_id.isdecimal()):
            return Ended(known=False)  # it numbers them
        try:
            self._api.destroy(instance_id)
        except NoSuch:
            return Ended(known=False)
        return Ended()

    def stream_logs(self, instance_id: str, after: str | None) -> LogLines:
        """What its container printed. Vast.ai gives the end of it, without times or numbers, so that what is new is told by the lines
        before it; where more came than it gives, the oldest are missing."""
        lines = [line[:LONGEST_LINE] for line in self._api.read_log(instance_id, tail=TAIL)]
        new = lines[_find_end(lines, after) :]
        return LogLines(lines=tuple(new), cursor=_mark(lines, len(lines)) if lines else after)

    def list_charges(self, since: AwareDatetime) -> Invoice:
        """By machine: GPU, disk and traffic together."""
        rows = self._api.list_charges(since_s=int(since.timestamp()), until_s=int(time.time()))
        return Invoice(charges=tuple(map(read_charge, rows)))


def _filters(query: OfferQuery, *, spot: bool) -> dict[str, object]:
    """A search's body. A part of a card's name cannot be searched for, so that names are looked at here."""
    memory = (
        {} if query.min_memory_gib is None else {"gpu_ram": {"gte": int(query.min_memory_gib * 1024 * MEMORY_SHORT)}}
    )
    return {
        "type": "bid" if spot else "on-demand",
        "verified": {"eq": True},
        "external": {"eq": False},
        "rentable": {"eq": True},
        "rented": {"eq": False},
        "num_gpus": {"eq": query.gpu_count},
        "disk_space": {"gte": disk_gb(query.disk_gib)},
        **memory,
        "allocated_storage": disk_gb(query.disk_gib),
        "order": [["dph_total", "asc"]],
        "limit": 500 if query.gpu or query.region else query.limit,
    }


def _mark(lines: list[str], end: int) -> str:
    """Where a log was read to: the lines before it, as a digest."""
    count = min(KNOWN_BY, end)
    return f"{count}:{hashlib.sha256(chr(10).join(lines[end - count : end]).encode()).hexdigest()[:32]}"


def _find_end(lines: list[str], mark: str | None) -> int:
    """How many of these lines were given before; none where their end is not among them."""
    count = int(mark.partition(":")[0]) if mark and mark.partition(":")[0].isdecimal() else 0
    ends = range(len(lines), count - 1, -1) if mark else ()
    return next((end for end in ends if _mark(lines[max(0, end - count) : end], min(count, end)) == mark), 0)
