"""Lambda's answers as values of the rental port."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from peft_studio.connectors.base.answer import unreadable
from peft_studio.connectors.base.reading import count, record, records, text
from peft_studio.connectors.lambdalabs import INFO
from peft_studio.connectors.lambdalabs.api import PLATFORM, LambdaApi, NoSuch
from peft_studio.connectors.lambdalabs.user_data import build_user_data
from peft_studio.core.errors import Refused, SoldOut
from peft_studio.core.ports.offers import Offer, OfferQuery, Offers, Stock
from peft_studio.core.ports.platform import Account, Capability, Keys
from peft_studio.core.ports.rental import Billed, Ended, Instance, Instances, InstanceState, Rent, Ssh, Way

_MEMORY = re.compile(r"\((\d+) ?GB\b")
# Billed by the minute from its passed health checks until it is terminated; what is not known counts as billed.
STATES: Mapping[str, tuple[InstanceState, Billed]] = {
    "booting": (InstanceState.BOOTING, "nothing"),
    "active": (InstanceState.RUNNING, "all"),
    "unhealthy": (InstanceState.AILING, "all"),
    "terminating": (InstanceState.ENDING, "all"),
    "preempted": (InstanceState.STOPPED, "all"),
}
REACHED = (InstanceState.RUNNING, InstanceState.AILING)
USER = "ubuntu"  # of every image of Lambda's
GONE = "terminated"  # still shown for a while: the list itself says that it is no more
PLAIN = ("booting", "active", "terminating")  # states that need no explanation


class Lambda:
    """The platform. Implements :class:`peft_studio.core.ports.rental.Rental`.

    Secrets of a purchase are not sent with it: :mod:`peft_studio.connectors.base.ssh` brings them to the machine, and is the way to
    what listens there.
    """

    info = INFO
    unsupported: Mapping[Capability, str] = {
        Capability.SPOT: "Lambda sells on-demand machines only.",
        Capability.LOGS: "Lambda has no call for what a machine prints; it is read over SSH once the machine is up.",
        Capability.INVOICE: "Lambda shows invoices in its dashboard and has no call for them; spend stays an estimate.",
    }

    way = Way(door="tunnel")

    def __init__(self, keys: Keys) -> None:
        self._api = LambdaApi(keys["key"])

    def connect(self) -> Account:
        """Whether the key may see machines. Lambda has no call that says whose it is."""
        count = len(self._api.list_instances())
        return Account(
            name="Lambda account", kind="account", note=f"Lambda does not say whose key it is. Machines there: {count}."
        )

    def list_offers(self, query: OfferQuery) -> Offers:
        """Every type in every region that has one, and each sold out type once. Lambda has no spot machines."""
        if query.spot:
            return Offers(offers=())
        now = datetime.now(UTC)
        found = (offer for name, one in self._api.list_types().items() for offer in _offers(name, one, now))
        return Offers(offers=tuple(sorted(found, key=lambda offer: (offer.usd_per_hour, offer.id))))

    def submit_job(self, rent: Rent) -> Instance:
        """Buy a machine that runs the boot script as root. ``rent.secrets`` are not sent: the script takes them from a file."""
        kind, _, region = rent.offer.id.partition("@")
        if not region:
            raise SoldOut(
                f"Lambda has no {rent.offer.gpu or kind} free in any region.",
                hint="Take another offer, or look again in a while.", platform=INFO.name,
            )  # fmt: skip
        if rent.public_key is None:
            raise Refused(
                "A machine of Lambda's needs an SSH key to log in with. Nothing was sent.",
                hint="Give the purchase a public key.", platform=INFO.name,
            )  # fmt: skip
        body = {
            "region_name": region, "instance_type_name": kind, "name": rent.label, "user_data": build_user_data(rent),
        }  # fmt: skip
        self._require_price(rent, kind)
        key = self._api.name_key(rent.public_key, _key_name(rent.public_key))
        found = self._api.launch({**body, "ssh_key_names": [key]})
        return Instance(
            id=found, label=rent.label, state=InstanceState.BOOTING, billed="nothing", gpu=rent.offer.gpu,
            gpu_count=rent.offer.gpu_count, region=region,
        )  # fmt: skip

    def list_instances(self) -> Instances:
        """All machines of the account. One that Lambda calls terminated is left out: that is its word for gone."""
        found = (one for one in self._api.list_instances() if text(one, "status") != GONE)
        return Instances(instances=tuple(_instance(one) for one in found))

    def end_instance(self, instance_id: str) -> Ended:
        """Ask for its termination; its disk goes with it."""
        try:
            return Ended(known=self._api.terminate(instance_id))
        except NoSuch:
            return Ended(known=False)

    def _require_price(self, rent: Rent, kind: str) -> None:
        """A launch names no price, so the list is asked once more right before it."""
        if rent.max_usd_per_hour is None:
            return
        now = _usd_per_hour(record(record(self._api.list_types(), kind), "instance_type"))
        if now is None:
            raise SoldOut(
                f"Lambda does not sell {kind} any more.", hint="Take another offer.", platform=INFO.name
            )  # fmt: skip
        if now > rent.max_usd_per_hour:
            raise Refused(
                f"Lambda asks ${now}/h for {kind} now, more than the ${rent.max_usd_per_hour}/h that was agreed to. Nothing was bought.",
                hint="Look at the offers again.", platform=INFO.name,
            )  # fmt: skip


def _offers(name: str, found: Mapping[str, Any], now: datetime) -> Iterator[Offer]:
    kind = record(found, "instance_type")
    specs = record(kind, "specs")
    price, gpu = _usd_per_hour(kind), text(kind, "gpu_description")
    if price is None:
        return
    memory = _MEMORY.search(gpu or "")
    disk = count(specs, "storage_gib")
    regions = [text(one, "name") for one in records(found.get("regions_with_capacity_available"))]
    for region in filter(None, regions) if any(regions) else (None,):
        yield Offer(
            id=f"{name}@{region}" if region else name,
            provider=INFO.name,
            gpu=gpu if count(specs, "gpus") else None,
            gpu_count=count(specs, "gpus") or 0,
            gpu_memory_gib=float(memory[1]) if memory else None,
            cpus=count(specs, "vcpus"),
            memory_gib=count(specs, "memory_gib"),
            disk_gib=disk,
            region=region,
            usd_per_hour=price,
            includes=f"{disk:,} GiB of disk" if disk else "",
            granularity_s=60,
            bills_start=False,
            stock=Stock.UNKNOWN if region else Stock.NONE,
            seen_at=now,
        )


def _usd_per_hour(kind: Mapping[str, Any]) -> Decimal | None:
    """Of the whole machine; Lambda counts in cents."""
    cents = count(kind, "price_cents_per_hour")
    return None if cents is None else Decimal(cents) / 100


def _instance(found: Mapping[str, Any]) -> Instance:
    if (number := text(found, "id")) is None:
        raise unreadable(PLATFORM, "a machine without an id")
    status = text(found, "status") or "no state"
    state, billed = STATES.get(status, (InstanceState.RUNNING, "all"))
    kind, ip = record(found, "instance_type"), text(found, "ip")
    gpus = count(record(kind, "specs"), "gpus")
    return Instance(
        id=number,
        label=text(found, "name") or "",
        state=state,
        reason="" if status in PLAIN else f"Lambda says: {status}.",
        billed=billed,
        usd_per_hour=_usd_per_hour(kind),
        gpu=text(kind, "gpu_description") if gpus else None,
        gpu_count=gpus,
        region=text(record(found, "region"), "name"),
        ssh=Ssh(host=ip, user=USER) if ip and state in REACHED else None,
    )


def _key_name(public_key: str) -> str:
    """Ours for a key, the same for the same key."""
    return "peft-studio-" + hashlib.sha256(" ".join(public_key.split()[:2]).encode()).hexdigest()[:16]
