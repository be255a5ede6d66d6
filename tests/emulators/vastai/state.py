"""What Vast.ai knows: offers of hosts, who rented which, where each machine stands, and what it cost so far."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.emulators.loopback import Emulated, Reply, Request
from tests.emulators.machine import Machine, Machines

MONTH_HOURS = 730
WAY = (None, "created", "loading", "running")  # of ``actual_status``, a step a look


@dataclass
class Ask:
    """A machine that a host offers. Prices in dollars: of its GPUs an hour, of storage a GB and month, of traffic a GB."""

    id: int
    gpu_name: str = "RTX 4090"
    num_gpus: int = 1
    gpu_ram: int = 24564
    dph_base: float = 0.4
    min_bid: float = 0.2
    storage_cost: float = 0.15
    more: dict[str, Any] = field(default_factory=dict)
    rented: bool = False

    def shown(self, *, disk: float, bid: bool) -> dict[str, Any]:
        gpus = self.min_bid if bid else self.dph_base
        disk_hour = self.storage_cost * disk / MONTH_HOURS
        return {
            "id": self.id, "ask_contract_id": self.id, "machine_id": self.id % 1000, "host_id": 7, "gpu_name": self.gpu_name,
            "num_gpus": self.num_gpus, "gpu_ram": self.gpu_ram, "gpu_frac": 1.0, "dph_base": gpus, "dph_total": gpus + disk_hour,
            "min_bid": self.min_bid, "is_bid": bid, "storage_cost": self.storage_cost, "storage_total_cost": disk_hour,
            "inet_up_cost": 0.003, "inet_down_cost": 0.002, "reliability": 0.9971, "reliability2": 0.9971, "cuda_max_good": 13.0, "score": 300.0,
            "dlperf": 90.0, "dlperf_per_dphtotal": 200.0, "driver_version": "580.65.06", "inet_up": 900.0, "inet_down": 900.0, "pcie_bw": 24.0,
            "cpu_ghz": 3.1, "total_flops": 82.0, "time_remaining": "", "cpu_arch": "amd64",
            "cpu_cores": 32, "cpu_cores_effective": 16.0, "cpu_ram": 65536, "disk_space": 512.5, "direct_port_count": 50,
            "geolocation": "Sweden, SE", "duration": 864000.0, "verification": "verified", "verified": True, "external": None,
            "rentable": not self.rented, "rented": self.rented, **self.more,
        }  # fmt: skip


@dataclass
class Contract:
    """A rented machine. ``status`` is its ``actual_status``; ``key`` the one that it can end itself with."""

    id: int
    ask: Ask
    body: dict[str, Any]
    is_bid: bool
    dph_base: float
    created_at: datetime
    status: str | None = None
    intended: str = "running"
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    machine: Machine | None = None
    gpu_s: float = 0.0
    running_since: datetime | None = None
    ended_at: datetime | None = None
    log_asks: int = 0


@dataclass(kw_only=True)
class Market(Emulated):
    """``keys``: API keys with their users. ``machines``: where machines run; without, they only stand in the list.

    ``stuck_at`` is the state beyond which no machine comes; ``searches_left`` the daily quota; ``now`` the clock of its meter.
    ``logs_after``: how often a log must be asked for until it is there.
    """

    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)
    machines: Machines | None = None
    contracts: list[Contract] = field(default_factory=list)
    gone: list[Contract] = field(default_factory=list)
    next_number: int = 4_000_000
    stuck_at: str = ""
    searches_left: int = 1000
    logs_after: int = 2
    address: str = ""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    lacks: int = 0  # rows that a page keeps back: a list that is not whole

    def before(self, request: Request) -> Reply | None:
        if request.path.startswith("/s3/"):
            assert "Authorization" not in request.headers, "a key was sent to another host"
            return None
        if request.token in self.keys or any(request.token == one.key for one in self.contracts):
            return None
        if request.path in ("/api/v0/bundles/", "/api/v0/charges/"):
            return refuse(404, "auth_error", "Invalid user key")
        return refuse(401, "auth_error", "Invalid or missing authentication token.")

    def contract(self, number: str) -> Contract | None:
        return next((one for one in self.contracts if str(one.id) == number), None)

    def rent(self, ask: Ask, body: dict[str, Any]) -> Contract:
        """A contract; a price makes it interruptible, and one below the lowest bid makes it stand there stopped."""
        self.next_number += 1
        bid = body.get("price")
        ask.rented = True
        made = Contract(self.next_number, ask, body, bid is not None, bid or ask.dph_base, self.now())
        if bid is not None and bid < ask.min_bid:
            made.status, made.intended = "stopped", "stopped"
        self.contracts.append(made)
        return made

    def look(self) -> list[Contract]:
        """All contracts; looking makes time pass."""
        for one in self.contracts:
            if one.machine is not None and one.status == "running" and one.machine.exit_code is not None:
                self.set_status(one, "exited")
            elif one.status in WAY[:3] and one.status != (self.stuck_at or "running"):
                self.set_status(one, WAY[WAY.index(one.status) + 1])
        return list(self.contracts)

    def set_status(self, one: Contract, status: str | None) -> None:
        """Move it, with its process and its meter."""
        billed = ("running", "frozen", "rebooting")
        if one.status in billed and one.running_since is not None:
            one.gpu_s += (self.now() - one.running_since).total_seconds()
        one.running_since = self.now() if status in billed else None
        one.status = status
        if self.machines is not None and status == "running" and one.machine is None:
            env = {name: value for name, value in one.body["env"].items() if not name.startswith("-")}
            ports = [int(name.split(":")[1]) for name in one.body["env"] if name.startswith("-p ")]
            given = {"CONTAINER_ID": str(one.id), "CONTAINER_API_KEY": one.key}
            one.machine = self.machines.start(str(one.id), ["/bin/bash", "-c", one.body["onstart"]], env={**env, **given}, ports=ports)  # fmt: skip
        elif status in ("stopped", "offline") and one.machine is not None:
            one.machine.end()

    def outbid(self, one: Contract) -> None:
        """Another pays more: it is stopped, its disk stays, and costs."""
        assert one.is_bid
        self.set_status(one, "stopped")

    def destroy(self, one: Contract) -> None:
        self.set_status(one, one.status)
        one.running_since, one.ended_at, one.ask.rented = None, self.now(), False
        self.contracts.remove(one)
        self.gone.append(one)
        if one.machine is not None:
            one.machine.end()

    def cost_usd(self, one: Contract) -> Decimal:
        """Its GPUs by the second while it ran, its disk from its creation until it was destroyed."""
        gpu_s = one.gpu_s + ((self.now() - one.running_since).total_seconds() if one.running_since else 0.0)
        alive_s = ((one.ended_at or self.now()) - one.created_at).total_seconds()
        disk = Decimal(str(one.ask.storage_cost)) * Decimal(str(one.body["disk"])) / MONTH_HOURS
        return (Decimal(str(one.dph_base)) * Decimal(str(gpu_s)) + disk * Decimal(str(alive_s))) / 3600

    def invoice(self) -> Decimal:
        """All that was spent, to the last digit."""
        return sum(map(self.cost_usd, [*self.contracts, *self.gone]), Decimal(0))

    def shown(self, one: Contract) -> dict[str, Any]:
        ask = one.ask.shown(disk=one.body["disk"], bid=one.is_bid)
        disk_hour = ask["storage_total_cost"]
        ports = None
        if one.status == "running":
            mapped = one.machine.ports if one.machine is not None else {8080: 40123}
            reached_at = self.machines.reached_at if self.machines is not None else int
            ports = {
                f"{port}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(reached_at(here))}]
                for port, here in mapped.items()
            }
        return {
            "id": one.id, "label": one.body.get("label"), "actual_status": one.status, "intended_status": one.intended,
            "cur_state": one.intended, "next_state": one.intended, "status_msg": f"success, {one.status} image\n" if one.status else "",
            "image_uuid": one.body["image"], "image_runtype": one.body.get("runtype", "ssh"), "onstart": one.body.get("onstart"),
            "extra_env": [[name, value] for name, value in one.body.get("env", {}).items()], "is_bid": one.is_bid,
            "public_ipaddr": "127.0.0.1\n" if one.status == "running" else None, "ports": ports, "ssh_host": "ssh7.vast.ai",
            "ssh_port": 10600, "start_date": one.created_at.timestamp(), "dph_base": one.dph_base,
            "dph_total": one.dph_base + disk_hour, "storage_total_cost": disk_hour, "storage_cost": one.ask.storage_cost,
            "gpu_name": one.ask.gpu_name, "num_gpus": one.ask.num_gpus, "gpu_ram": one.ask.gpu_ram, "geolocation": "Sweden, SE",
            "disk_space": one.body["disk"],
        }  # fmt: skip

    def log_name(self, one: Contract) -> str:
        return hashlib.sha256(f"log {one.id}".encode()).hexdigest()


def refuse(status: int, error: str, msg: str, **more: Any) -> Reply:
    return Reply(status, {"success": False, "error": error, "msg": msg, **more})
