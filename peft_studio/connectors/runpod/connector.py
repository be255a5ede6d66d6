"""RunPod's answers as values of the rental port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import AwareDatetime

from peft_studio.connectors.base.answer import unreadable
from peft_studio.connectors.base.buying import in_doubt
from peft_studio.connectors.base.reading import count, record, records, text, when, words
from peft_studio.connectors.runpod import INFO
from peft_studio.connectors.runpod.api import PLATFORM, RunPodApi, build_create, offer_id
from peft_studio.core.errors import NotFound
from peft_studio.core.ports.offers import Offer, OfferQuery, Offers, Stock
from peft_studio.core.ports.platform import Account, Capability, Keys
from peft_studio.core.ports.rental import (
    Billed,
    Charge,
    Ended,
    Instance,
    Instances,
    InstanceState,
    Invoice,
    LogLines,
    Rent,
    SelfEnd,
    Ssh,
)

CLOUDS = ("SECURE", "COMMUNITY")
DISK_USD_PER_GB_MONTH = Decimal(
    "0.10"
)  # of a running pod's own disk; a stopped one's is free (its documentation, 2026-11)
STATES: Mapping[str, InstanceState] = {
    "PROVISIONING": InstanceState.PROVISIONING,
    "STARTING": InstanceState.BOOTING,
    "RUNNING": InstanceState.RUNNING,  # minutes before anything in it answers
    "EXITED": InstanceState.STOPPED,
    "ERROR": InstanceState.FAILED,
    "TERMINATED": InstanceState.ENDING,  # only its absence says that it is gone
}
LONGEST_LINE, MOST_LINES = 10_000, 5_000


class RunPod:
    """One account. Implements :class:`peft_studio.core.ports.rental.Rental`, with Bills and BootLogs.

    What listens in a machine is reached by its port through RunPod's proxy, over TLS; it is open to all, so it must ask who comes.
    Port 22 is mapped as it is. Needs no ``public_key`` for that.
    """

    info = INFO
    unsupported: Mapping[Capability, str] = {
        Capability.SPOT: "RunPod's API rents on demand only, which is never taken away for a higher bid.",
    }

    def __init__(self, keys: Keys) -> None:
        self._api = RunPodApi(keys.get("key"))
        image = keys.get("image")
        self._image = image.reveal() if image else None
        self.self_end = SelfEnd(
            url=self._api.own_pod, key="RUNPOD_API_KEY"
        )  # RunPod puts both variables into every pod

    def connect(self) -> Account:
        """Whether the key may see machines. Whose it is, RunPod does not say."""
        there = len(self.list_instances().instances)
        machines = "1 machine" if there == 1 else f"{there or 'no'} machines"
        return Account(
            name="this key's account",
            note=f"{machines} there now. A key that may only read is refused at the first launch.",
        )

    def list_offers(self, query: OfferQuery) -> Offers:
        """Every kind of NVIDIA GPU, in RunPod's own data centres and at hosts of others, where so many fit into one machine."""
        if query.spot:
            return Offers(offers=())
        seen_at = datetime.now(UTC)
        found = []
        for cloud in CLOUDS:
            listed = self._api.list_gpus(count=query.gpu_count, cloud=cloud)
            found += [offer for one in records(listed) for offer in _offers(one, cloud, query=query, seen_at=seen_at)]
        return Offers(offers=tuple(found))

    def submit_job(self, rent: Rent) -> Instance:
        """Buy a machine. Its boot script is its container's one process: where it ends, the machine stops, and its price with it."""
        env = {**rent.settings, **{name: secret.reveal() for name, secret in rent.secrets.items()}}
        body = build_create(
            label=rent.label, offer=rent.offer.id, image=self._image, boot=rent.boot, env=env, disk_gib=rent.disk_gib, ports=rent.ports
        )  # fmt: skip
        made = self._instance(self._api.create_pod(body))
        if made is None:
            raise in_doubt(unreadable(PLATFORM, "a machine without an id"))
        return made

    def list_instances(self) -> Instances:
        """All pods. One that cannot be read is an error: a list with holes would prove that a machine is gone which is not."""
        found = []
        for one in self._api.list_pods():
            made = self._instance(one) if isinstance(one, dict) else None
            if made is None:
                raise unreadable(PLATFORM, "a machine without an id or a state")
            found.append(made)
        return Instances(instances=tuple(found))

    def end_instance(self, instance_id: str) -> Ended:
        """Delete a pod with its disk."""
        try:
            self._api.delete_pod(instance_id)
        except NotFound:
            return Ended(known=False)
        return Ended()

    def stream_logs(self, instance_id: str, after: str | None) -> LogLines:
        """Lines of the container and of RunPod about it. The cursor is the time of the last one."""
        lines, cursor = [], after
        for at, line in self._api.read_logs(instance_id, after):
            if at == after:
                continue  # whether a stream goes on with that line or behind it, RunPod does not say
            lines.append(line[:LONGEST_LINE])
            cursor = at
            if len(lines) == MOST_LINES:
                break
        return LogLines(lines=tuple(lines), cursor=cursor)

    def list_charges(self, since: AwareDatetime) -> Invoice:
        """By pod and hour, GPU and disk together."""
        return Invoice(charges=tuple(_charge(one) for one in self._api.list_billing(since)))

    def _instance(self, pod: Mapping[str, Any]) -> Instance | None:
        name, status = text(pod, "id"), text(pod, "status")
        if name is None or status is None:
            return None
        gpu, state = record(pod, "gpu"), STATES.get(status, InstanceState.BOOTING)
        return Instance(
            id=name, label=text(pod, "name") or "", state=state, reason="" if status in STATES else f"RunPod calls it {status}",
            billed=_billed(pod, status), usd_per_hour=_usd(pod.get("cost")), gpu=text(gpu, "id"),
            gpu_count=count(gpu, "count") if gpu else None, region=text(pod, "dataCenterId"), created_at=when(pod, "createdAt"),
            addresses=dict(self._addresses(name, pod)), ssh=_ssh(record(record(pod, "ssh"), "direct")),
        )  # fmt: skip

    def _addresses(self, name: str, pod: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        """Where the ports that were asked for are reached, once there is something behind them."""
        if text(pod, "status") != "RUNNING":
            return
        for port in words(pod, "ports"):
            number, _, kind = port.partition("/")
            if kind == "http" and number.isdecimal():
                yield int(number), self._api.proxy.format(pod=name, port=number)
        for mapped in records(record(pod, "runtime").get("ports")):
            inside, outside, ip = count(mapped, "private"), count(mapped, "public"), text(mapped, "ip")
            if text(mapped, "type") == "tcp" and inside and outside and ip:
                yield inside, f"{ip}:{outside}"


def _offers(one: Mapping[str, Any], cloud: str, *, query: OfferQuery, seen_at: datetime) -> Iterator[Offer]:
    """A kind of GPU in one cloud: wherever the scheduler puts it, or in each data centre of the region that was asked for."""
    tier = cloud.lower()
    gpu, price = text(one, "id"), _usd(record(one, "price").get(tier))
    most = count(record(one, "maxCount"), tier) or 0
    # Where it is not to be had at all, its price is 0.
    if gpu is None or text(one, "manufacturer") != "NVIDIA" or not one.get(tier) or not price or query.gpu_count > most:
        return
    hosts = "in RunPod's data centres" if cloud == "SECURE" else "at hosts of others"
    common: dict[str, Any] = {
        "provider": INFO.name, "gpu": gpu, "gpu_count": query.gpu_count, "gpu_memory_gib": count(one, "memory"),
        "usd_per_hour": price * query.gpu_count, "storage_usd_per_gb_month": DISK_USD_PER_GB_MONTH, "ends_itself": True, "seen_at": seen_at,
        "includes": f"{hosts}, by the second, traffic included; disk comes on top at $0.10 a GB and month; needs credit for an hour",
    }  # fmt: skip
    if query.region is None:
        name = offer_id(cloud=cloud, count=query.gpu_count, gpu=gpu, region=None)
        yield Offer(id=name, stock=_stock(one), **common)
        return
    for centre in records(one.get("dataCenters")):
        where = text(centre, "id")
        if where and query.region.lower() in f"{where} {text(centre, 'name')}".lower():
            name = offer_id(cloud=cloud, count=query.gpu_count, gpu=gpu, region=where)
            yield Offer(id=name, stock=_stock(centre), region=where, **common)


def _stock(of: Mapping[str, Any]) -> Stock:
    said = (text(of, "availability") or "").lower()
    return Stock(said) if said in set(Stock) else Stock.UNKNOWN


def _billed(pod: Mapping[str, Any], status: str) -> Billed:
    if status == "TERMINATED":
        return "nothing"
    if status != "EXITED":
        return "all"
    return "storage" if record(pod, "mounts") else "nothing"


def _ssh(direct: Mapping[str, Any]) -> Ssh | None:
    host, port = text(direct, "host"), count(direct, "port")
    return Ssh(host=host, port=port, user=text(direct, "username") or "root") if host and port else None


def _charge(found: Any) -> Charge:
    one = found if isinstance(found, dict) else {}
    pod, begin, end, usd = (
        text(one, "podId"),
        when(one, "startTime"),
        when(one, "endTime"),
        _usd(one.get("totalAmount")),
    )
    if pod is None or begin is None or end is None or usd is None:
        raise unreadable(PLATFORM, "a bill that cannot be read")
    return Charge(instance_id=pod, begin_at=begin, end_at=end, usd=usd)


def _usd(found: Any) -> Decimal | None:
    """An amount as it was written; None for what is none."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        amount = Decimal(str(found))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
