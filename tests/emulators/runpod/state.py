"""What RunPod knows: kinds of GPU, pods and their lives, keys, money. Time is the clock's that it is given; machines run in real time."""

from __future__ import annotations

import itertools
import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.emulators.loopback import Emulated, Reply, Request
from tests.emulators.machine import Machine, Machines

MONTH_HOURS = 730
DISK = {True: Decimal("0.10"), False: Decimal(0)}  # $ a GB and month of a pod's own disk: running, stopped
VOLUME = {True: Decimal("0.10"), False: Decimal("0.20")}
RUNS = ("PROVISIONING", "STARTING", "RUNNING")
ACTIONS = {
    "RUNNING": ["stop", "restart", "terminate"], "EXITED": ["start", "terminate"], "ERROR": ["start", "terminate"],
    "PROVISIONING": ["stop", "terminate"], "STARTING": ["stop", "terminate"],
}  # fmt: skip


def problem(status: int, title: str, detail: str, errors: list[str] | None = None) -> Reply:
    """An error as RunPod words it (RFC 9457)."""
    body = {"title": title, "status": status, "detail": detail, **({"errors": errors} if errors else {})}
    return Reply(status, body, {"Content-Type": "application/problem+json"})


def make_gpu(name: str, memory: int, *, secure: float = 0.0, community: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A kind of GPU as the catalogue shows it. A price of 0 is a cloud that has none. ``free``: HIGH, …, NONE; ``where``: data centres."""
    return {
        "id": name, "name": name.removeprefix("NVIDIA "), "pool": None, "manufacturer": "NVIDIA", "memory": memory, "secure": secure > 0,
        "community": community > 0, "price": {"secure": secure, "community": community},
        "maxCount": {"secure": 8 if secure else 0, "community": 4 if community else 0}, "free": "HIGH", "where": ["EU-RO-1", "US-KS-2"], **changes,
    }  # fmt: skip


@dataclass
class Pod:
    """One pod. ``spans``: when it began and ended to run, and what stood on its disks; the last may be open."""

    id: str
    body: dict[str, Any]
    usd_per_hour: Decimal
    made_at: float
    key: str
    status: str = "PROVISIONING"
    since: float = 0.0
    gone_at: float | None = None
    machine: Machine | None = None
    spans: list[tuple[float, bool]] = field(default_factory=list)  # from then on it runs, or not

    def spent(self, begin: float, end: float) -> dict[str, Decimal]:
        """Dollars between two times, by what they are for."""
        gpu = disk = Decimal(0)
        volume_gb = (self.body.get("mounts") or {}).get("persistent", {}).get("size", 0)
        edges = [*self.spans, (end if self.gone_at is None else self.gone_at, False)]
        for (first, runs), (last, _) in itertools.pairwise(edges):
            hours = Decimal(str(max(0.0, min(last, end) - max(first, begin)))) / 3600
            gpu += self.usd_per_hour * hours if runs else 0
            disk += (DISK[runs] * self.body["disk"] + VOLUME[runs] * volume_gb) * hours / MONTH_HOURS
        return {"gpu": gpu, "disk": disk}


@dataclass(kw_only=True)
class Cloud(Emulated):
    """One account of RunPod.

    Attributes:
        keys: Of the account: "all" or "read".
        provisioning_s, starting_s: How long a pod is in these states, by ``clock``.
        phantom: Kinds that the catalogue says are there and of which none can be had.
        made_and_failed: How many of the next creations are done and answered with 500.
        sticky: How many of the next deletions are answered 204 and not done.
        billed_price: What a pod costs, by kind, where it is not what the catalogue says.
        lagging: How many of the next lists do not have the newest pod yet.
        proxy: Where the ports of pods are reached, with {pod} and {port}.
    """

    machines: Machines
    gpus: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    gone: list[Pod] = field(default_factory=list)
    balance: Decimal = Decimal(100)
    clock: Callable[[], float] = time.time
    provisioning_s: float = 0.0
    starting_s: float = 0.0
    phantom: set[str] = field(default_factory=set)
    made_and_failed: int = 0
    sticky: int = 0
    lagging: int = 0
    billed_price: dict[str, Decimal] = field(default_factory=dict)
    a_minute: int = 60
    address: str = ""
    minute: list[float] = field(default_factory=list)  # when the last requests came

    def before(self, request: Request) -> Reply | None:
        """Who asks, how often, and whether they may."""
        if not request.token:
            return problem(401, "Unauthorized", "missing bearer token")
        pod = next((one for one in self.pods.values() if one.key == request.token), None)
        level = self.keys.get(request.token)
        if level is None and pod is None:
            return problem(401, "Unauthorized", "invalid API key")
        if pod and not request.path.startswith(f"/v2/pods/{pod.id}"):
            return problem(403, "Forbidden", "this key is limited to its own pod")
        if level == "read" and request.method != "GET":
            return problem(403, "Forbidden", "the API key lacks the required permission")
        now = time.monotonic()
        self.minute = [at for at in self.minute if now - at < 60] + [now]
        if len(self.minute) > self.a_minute:
            reply = problem(429, "Too Many Requests", "rate limit exceeded for window 'minute'")
            return Reply(429, reply.body, {**reply.headers, "Retry-After": str(int(61 - (now - self.minute[0])))})
        return None

    def settle(self) -> None:
        """Bring every pod to where it stands by the clock; what has begun to run gets its machine."""
        with self.lock:
            now = self.clock()
            for pod in self.pods.values():
                if pod.status == "PROVISIONING" and now >= pod.since + self.provisioning_s:
                    pod.status, pod.since = "STARTING", pod.since + self.provisioning_s
                if pod.status == "STARTING" and now >= pod.since + self.starting_s:
                    pod.status, pod.since = "RUNNING", pod.since + self.starting_s
                    self._boot(pod)
                if pod.status == "RUNNING" and pod.machine and pod.machine.exit_code is not None:
                    self.halt(pod, "EXITED")

    def create(self, body: dict[str, Any]) -> Pod:
        """A pod of a body that was found good."""
        gpu = next(one for one in self.gpus if one["id"] == body["gpu"]["id"])
        tier = body.get("cloud", "SECURE").lower()
        price = self.billed_price.get(gpu["id"], Decimal(str(gpu["price"][tier]))) * body["gpu"].get("count", 1)
        now = self.clock()
        pod = Pod(secrets.token_hex(7), {"disk": 20, **body}, price, now, f"rps_{secrets.token_hex(20)}", since=now)
        pod.spans.append((now, True))
        self.pods[pod.id] = pod
        return pod

    def halt(self, pod: Pod, status: str) -> None:
        """It runs no longer; its disk stays."""
        if pod.status in RUNS:
            pod.spans.append((self.clock(), False))
        pod.status = status
        self.machines.end(pod.id)

    def start(self, pod: Pod) -> None:
        """Boot a stopped one again."""
        pod.status, pod.since = "PROVISIONING", self.clock()
        pod.spans.append((pod.since, True))

    def terminate(self, pod: Pod) -> None:
        """Gone, with its disk; nothing of it is billed any more."""
        self.machines.end(pod.id)
        pod.gone_at = self.clock()
        self.gone.append(self.pods.pop(pod.id))

    def preempt(self, pod: Pod) -> None:
        """Its host is lost: no word to anybody, and its disk is billed on."""
        self.halt(pod, "EXITED")

    def invoice(self) -> Decimal:
        """All that was spent, to the last digit."""
        now = self.clock()
        return sum((sum(pod.spent(0.0, now).values()) for pod in [*self.pods.values(), *self.gone]), Decimal(0))

    def _boot(self, pod: Pod) -> None:
        ports = [int(port.partition("/")[0]) for port in pod.body.get("ports", [])]
        env = {**pod.body.get("env", {}), "RUNPOD_POD_ID": pod.id, "RUNPOD_API_KEY": pod.key, "RUNPOD_URL": self.address, "RUNPOD_PUBLIC_IP": "127.0.0.1"}  # fmt: skip
        pod.machine = self.machines.start(
            pod.id, shlex.split(pod.body.get("args") or "sleep infinity"), env=env, ports=ports
        )


def stamp(at: float) -> str:
    """A time as RunPod writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
