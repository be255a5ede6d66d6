"""Rows of Vast.ai's answers as values of the port. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from peft_studio.connectors.base.answer import unreadable
from peft_studio.connectors.base.reading import count, record, records, text
from peft_studio.connectors.vastai import INFO
from peft_studio.connectors.vastai.errors import PLATFORM
from peft_studio.core.ports.offers import Offer, Stock
from peft_studio.core.ports.rental import Billed, Charge, Instance, InstanceState, Ssh

LONGEST_OFFER_S = 10 * 365 * 86400
# Storage is billed from the creation on, the GPU while it runs or is frozen. Without a heartbeat nobody says: that counts as billed.
STATES: Mapping[str | None, tuple[InstanceState, Billed]] = {
    None: (InstanceState.PROVISIONING, "storage"),
    "created": (InstanceState.PROVISIONING, "storage"),
    "loading": (InstanceState.BOOTING, "storage"),
    "running": (InstanceState.RUNNING, "all"),
    "rebooting": (InstanceState.BOOTING, "all"),
    "frozen": (InstanceState.STOPPED, "all"),
    "stopped": (InstanceState.STOPPED, "storage"),
    "exited": (InstanceState.FAILED, "storage"),
    "offline": (InstanceState.FAILED, "all"),
    "unknown": (InstanceState.FAILED, "all"),
}
PLAIN = (InstanceState.PROVISIONING, InstanceState.BOOTING, InstanceState.RUNNING)


def usd(found: Any) -> Decimal | None:
    """An amount as it was written; None for what is none."""
    number = _number(found)
    return None if number is None or number < 0 else Decimal(str(number))


def read_offers(rows: list[Any], *, spot: bool, disk_gb: int, now: datetime, gpu: str | None) -> Iterator[Offer]:
    """Those that have a number and a price, of cards with ``gpu`` in their name."""
    for row in records(rows):
        number, price, name = count(row, "id"), usd(row.get("dph_total")), text(row, "gpu_name")
        if number is None or not price or (gpu and gpu.lower() not in (name or "").lower()):
            continue
        storage, down, up = (
            usd(row.get(one)) or Decimal(0) for one in ("storage_cost", "inet_down_cost", "inet_up_cost")
        )
        memory, ram, reliability, left_s = (
            _number(row.get(one)) for one in ("gpu_ram", "cpu_ram", "reliability", "duration")
        )
        cpus = _number(row.get("cpu_cores_effective"))
        yield Offer(
            id=f"{number}:bid" if spot else str(number),
            provider=INFO.name,
            gpu=name,
            gpu_count=count(row, "num_gpus") or 0,
            gpu_memory_gib=memory / 1024 if memory else None,
            cpus=int(cpus) if cpus else None,
            memory_gib=ram * (_number(row.get("gpu_frac")) or 1.0) / 1024 if ram else None,
            disk_gib=_number(row.get("disk_space")),
            region=text(row, "geolocation"),
            usd_per_hour=price,
            includes=f"{disk_gb} GB of disk, which is billed from its creation and while it is stopped; "
            f"traffic at ${down:f} a GB in and ${up:f} out",
            holds_disk_gb=disk_gb,
            granularity_s=1,
            bills_start=False,
            storage_usd_per_gb_month=storage,
            download_usd_per_gb=down,
            upload_usd_per_gb=up,
            spot=spot,
            stock=Stock.LOW,  # it is one machine
            reliability=reliability if reliability is not None and 0 <= reliability <= 1 else None,
            ends_itself=True,
            stops_at=now + timedelta(seconds=min(left_s, LONGEST_OFFER_S)) if left_s and left_s > 0 else None,
            seen_at=now,
        )  # fmt: skip


def read_instance(row: Mapping[str, Any]) -> Instance:
    """A machine of the list.

    Raises:
        BadResponse: It has no number.
    """
    if (number := count(row, "id")) is None:
        raise unreadable(PLATFORM, "a machine without a number")
    status = text(row, "actual_status")
    state, billed = STATES.get(status, (InstanceState.PROVISIONING, "all"))
    if state is InstanceState.PROVISIONING and "stopped" in (text(row, "intended_status"), text(row, "cur_state")):
        state, billed = InstanceState.STOPPED, "storage"  # a bid that was too low is made, and stands there
    started, ip = _number(row.get("start_date")), (text(row, "public_ipaddr") or "").strip()
    running = state is InstanceState.RUNNING and ip
    addresses = dict(_addresses(record(row, "ports"), ip)) if running else {}
    return Instance(
        id=str(number),
        label=text(row, "label") or "",
        state=state,
        reason="" if state in PLAIN and status in STATES else _reason(row, status),
        billed=billed,
        usd_per_hour=usd(row.get("dph_total" if billed == "all" else "storage_total_cost")),
        gpu=text(row, "gpu_name"),
        gpu_count=count(row, "num_gpus"),
        region=text(row, "geolocation"),
        created_at=datetime.fromtimestamp(started, UTC) if started and 0 < started < 4e9 else None,
        addresses={port: address for port, address in addresses.items() if port != 22},
        ssh=_ssh(row, addresses) if running else None,
    )


def read_charge(row: Mapping[str, Any]) -> Charge:
    """A row of the bill.

    Raises:
        BadResponse: It lacks a part of what was billed.
    """
    kind, _, number = (text(row, "source") or "").partition("-")
    begin, end, amount = _number(row.get("start")), _number(row.get("end")), usd(row.get("amount"))
    if kind != "instance" or not number or begin is None or end is None or amount is None:
        raise unreadable(PLATFORM, "a bill that cannot be read")
    return Charge(
        instance_id=number, begin_at=datetime.fromtimestamp(begin, UTC), end_at=datetime.fromtimestamp(end, UTC), usd=amount
    )  # fmt: skip


def _reason(row: Mapping[str, Any], status: str | None) -> str:
    words = (text(row, "status_msg") or "").strip()
    bid = " It was outbid, or its host needs it." if row.get("is_bid") and status == "stopped" else ""
    return f"Vast.ai calls it {status or 'stopped'}.{bid}{f' {words}' if words else ''}"


def _addresses(ports: Mapping[str, Any], ip: str) -> Iterator[tuple[int, str]]:
    """Where the container's TCP ports are reached: ``{"8080/tcp": [{"HostPort": "40123"}]}``."""
    for inside, mapped in ports.items():
        number, _, kind = inside.partition("/")
        outside = next((text(one, "HostPort") for one in records(mapped)), None)
        if kind == "tcp" and number.isdecimal() and outside and outside.isdecimal():
            yield int(number), f"{ip}:{outside}"


def _ssh(row: Mapping[str, Any], addresses: Mapping[int, str]) -> Ssh | None:
    """Its own port where that is mapped, else through Vast.ai's proxy."""
    if 22 in addresses:
        host, _, port = addresses[22].rpartition(":")
        return Ssh(host=host, port=int(port))
    proxy, at = text(row, "ssh_host"), count(row, "ssh_port")
    return Ssh(host=proxy, port=at) if proxy and at and at < 65536 else None


def _number(found: Any) -> float | None:
    """A finite number, with or without a fraction."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < 1e15:
        return None
    return found
