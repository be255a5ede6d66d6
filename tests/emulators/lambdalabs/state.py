"""What Lambda's cloud knows: types and their stock, keys, machines and what they cost so far."""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.emulators.lambdalabs.vm import Vm, write_network
from tests.emulators.loopback import Emulated, Reply, Request
from tests.emulators.machine import Machines

REGIONS = {"us-west-1": "California, USA", "us-east-1": "Virginia, USA", "europe-central-1": "Germany"}


@dataclass(frozen=True)
class Kind:
    """A type of machine. ``stock``: how many are free in which region."""

    name: str
    gpu: str = "H100 (80 GB SXM5)"
    gpus: int = 1
    cents: int = 429
    stock: dict[str, int] = field(default_factory=dict)
    disk_gib: int = 2816

    def shown(self) -> dict[str, Any]:
        specs = {"vcpus": 26 * max(1, self.gpus), "memory_gib": 225 * max(1, self.gpus), "storage_gib": self.disk_gib, "gpus": self.gpus}  # fmt: skip
        return {
            "name": self.name, "description": f"{self.gpus}x {self.gpu}", "gpu_description": self.gpu,
            "price_cents_per_hour": self.cents, "specs": specs,
        }  # fmt: skip


@dataclass
class Rented:
    """A machine of the account. ``vm``: None where it only stands in the list."""

    id: str
    kind: Kind
    region: str
    name: str
    ssh_keys: list[str]
    ip: str
    vm: Vm | None = None
    status: str = "booting"
    seen: int = 0  # how often it was listed
    active_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(kw_only=True)
class Cloud(Emulated):
    """``keys``: API keys that it knows. ``machines``: where machines run; without, they only stand in the list.

    A machine boots for ``boots_for`` looks at the list, and until its sshd answers, and ends for ``ends_for`` looks; ``never_boots`` is the quirk of that name, and
    ``deaf`` that of a termination that is agreed to and not done. ``now`` is the clock of its meter.
    """

    keys: tuple[str, ...] = ()
    kinds: list[Kind] = field(default_factory=list)
    machines: Machines | None = None
    ssh_keys: list[dict[str, str]] = field(default_factory=list)
    rented: list[Rented] = field(default_factory=list)
    gone: list[Rented] = field(default_factory=list)
    boots_for: int = 1
    ends_for: int = 1
    never_boots: bool = False
    deaf: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    launches: int = 0
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def before(self, request: Request) -> Reply | None:
        if request.token not in self.keys:
            return refuse(401, "global/invalid-api-key", "API key was invalid, expired, or deleted.", "Check your API key or create a new one, then try again.")  # fmt: skip
        return None

    def kind(self, name: str) -> Kind | None:
        return next((one for one in self.kinds if one.name == name), None)

    def rent(self, body: dict[str, Any], kind: Kind) -> Rented:
        """Take one from stock and start it."""
        self.launches += 1
        kind.stock[body["region_name"]] -= 1
        made = Rented(
            secrets.token_hex(16), kind, body["region_name"], body.get("name", ""), body["ssh_key_names"],
            f"198.51.100.{next(self.numbers)}",
        )  # fmt: skip
        if self.machines is not None:
            public = next(one["public_key"] for one in self.ssh_keys if one["name"] == made.ssh_keys[0])
            made.vm = Vm(self.machines, made.id, user_data=body.get("user_data", ""), public_key=public)
            write_network(self.machines.root / "network", [(made.name, made.vm)])
        self.rented.append(made)
        return made

    def reboot(self, one: Rented) -> None:
        """Its host lets it start anew, without a word to anybody."""
        assert one.vm is not None
        assert self.machines is not None
        one.vm.reboot()
        write_network(self.machines.root / "network", [(one.name, one.vm)])

    def end(self, one: Rented) -> None:
        """Switch it off; it is listed twice more: as terminating, then as terminated."""
        if self.deaf or one.status in ("terminating", "terminated"):
            return
        one.status, one.ended_at, one.seen = "terminating", self.now(), 0
        one.kind.stock[one.region] = one.kind.stock.get(one.region, 0) + 1
        if one.vm is not None:
            one.vm.end()

    def listed(self) -> list[Rented]:
        """Those that are shown; looking makes time pass."""
        for one in list(self.rented):
            one.seen += 1
            if one.status == "terminated":
                self.rented.remove(one)
                self.gone.append(one)
            elif one.status == "terminating" and one.seen > self.ends_for:
                one.status = "terminated"
            elif one.vm is not None and one.vm.switched_off and one.status == "active":
                one.vm.end()
                one.status = "unhealthy"  # and billed: only a termination ends that
            elif one.status == "booting" and self._is_up(one):
                one.status, one.active_at = "active", self.now()
        return list(self.rented)

    def bill_usd(self, one: Rented) -> Decimal:
        """By the started minute, from passing its health checks until it was ended."""
        if one.active_at is None:
            return Decimal(0)
        seconds = ((one.ended_at or self.now()) - one.active_at).total_seconds()
        return Decimal(one.kind.cents) / 100 * math.ceil(seconds / 60) / 60

    def invoice(self) -> Decimal:
        """All that was spent."""
        return sum(map(self.bill_usd, [*self.rented, *self.gone]), Decimal(0))

    def shown(self, one: Rented) -> dict[str, Any]:
        free = {"available": True}
        found: dict[str, Any] = {
            "id": one.id, "name": one.name, "status": one.status, "ssh_key_names": one.ssh_keys, "file_system_names": [],
            "region": {"name": one.region, "description": REGIONS[one.region]}, "instance_type": one.kind.shown(),
            "is_reserved": False, "tags": [],
            "actions": dict.fromkeys(("migrate", "rebuild", "restart", "cold_reboot", "terminate"), free),
        }  # fmt: skip
        if one.status not in ("booting", "terminated"):
            found |= {"ip": one.ip, "hostname": one.ip, "private_ip": "10.0.2.100"}
        return found

    def _is_up(self, one: Rented) -> bool:
        return not self.never_boots and one.seen > self.boots_for and (one.vm is None or one.vm.answers())


def refuse(status: int, code: str, message: str, suggestion: str = "") -> Reply:
    return Reply(status, {"error": {"code": code, "message": message, "suggestion": suggestion}})
