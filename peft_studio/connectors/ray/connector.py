"""A cluster's nodes and jobs as values of the rental port."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from peft_studio.connectors.base.answer import unreadable
from peft_studio.connectors.base.reading import count, text
from peft_studio.connectors.ray import INFO
from peft_studio.connectors.ray.api import PLATFORM, RayApi, build_package
from peft_studio.connectors.ray.nodes import Ask, build_offers, read_nodes, read_offer
from peft_studio.core.errors import ConnectorError
from peft_studio.core.ports.offers import OfferQuery, Offers
from peft_studio.core.ports.platform import Account, Capability, Keys
from peft_studio.core.ports.rental import LABEL_PREFIX, Ended, Instance, Instances, InstanceState, LogLines, Rent, Way

ENDED = frozenset({"STOPPED", "SUCCEEDED"})
STATES: Mapping[str, InstanceState] = {
    "PENDING": InstanceState.PROVISIONING,
    "RUNNING": InstanceState.RUNNING,
    "FAILED": InstanceState.FAILED,
}
NO_TURN = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"  # Ray lets a job wait a quarter of an hour
TOLD_S = 600.0  # so long a job that failed is told of: why, whoever asks needs to know once
PORT = 8443  # of the boot script's door
_DOOR = re.compile(r"^peft-studio: its door is on port (\d{1,5})(?: of ([\w.:]+))?$", re.M)
TOGETHER = "exec python3 together.py"  # of a job over several nodes, which runs while it waits for them
MOST_LINES, LONGEST_LINE = 5000, 10_000


class Ray:
    """One cluster. Implements :class:`peft_studio.core.ports.rental.Rental`, with BootLogs.

    A machine is a job, and its id its label: Ray makes no second one of that name. It asks for the GPUs and CPUs of its offer and waits
    in line until a node has them. Its door stands on that node, behind a certificate of its own.
    """

    info = INFO
    unsupported: Mapping[Capability, str] = {
        Capability.SPOT: "A cluster of your own has no prices, so none is lower.",
        Capability.INVOICE: "A Ray cluster bills nothing; what its nodes cost, their owner knows.",
    }
    way = Way(door="tls", switch_off="./end-job")

    def __init__(self, keys: Keys) -> None:
        address = keys.get("address")
        self._api = RayApi(address.reveal() if address else None, keys.get("token"))
        self._doors: dict[str, str] = {}  # of jobs that run: a door never moves

    def connect(self) -> Account:
        """Which cluster answers, and what it has."""
        version, nodes = self._api.get_version(), read_nodes(self._api.list_nodes(), self._api.get_usage())
        gpus, cpus = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
        note = f"{len(nodes)} nodes, {gpus} GPUs, {cpus} CPUs. Its nodes must be reachable from here on ports 20000 to 29999."
        return Account(name=f"Ray {version} at {urlsplit(self._api.address).netloc}", kind="cluster", note=note)

    def list_offers(self, query: OfferQuery) -> Offers:
        """A place on each kind of node, free or not: what has none waits for it."""
        if query.spot:
            return Offers(offers=())
        nodes = read_nodes(self._api.list_nodes(), self._api.get_usage())
        return Offers(offers=build_offers(nodes, query, seen_at=datetime.now(UTC)))

    def submit_job(self, rent: Rent) -> Instance:
        """Put a job in line."""
        ask = read_offer(rent.offer.id)
        package = self._api.put_package(build_package(rent.boot, rent.secrets))
        self._api.submit(build_body(rent, ask, package))
        return Instance(
            id=rent.label, label=rent.label, state=InstanceState.PROVISIONING, usd_per_hour=Decimal(0),
            gpu=rent.offer.gpu, gpu_count=rent.offer.gpu_count,
        )  # fmt: skip

    def list_instances(self) -> Instances:
        """All jobs that were submitted and have not ended, whoever did. One that cannot be read is an error: it might be ours."""
        found, running = [], set()
        for one in self._api.list_jobs():
            if not isinstance(one, dict) or text(one, "status") is None:
                raise unreadable(PLATFORM, "a job without a state")
            name = text(one, "submission_id")
            if name is None or not _is_told(one):
                continue  # somebody's program, which no job is
            running.add(name)
            found.append(self._instance(name, one))
        self._doors = {name: door for name, door in self._doors.items() if name in running}
        return Instances(instances=tuple(found))

    def end_instance(self, instance_id: str) -> Ended:
        """Stop a job; one that failed is forgotten."""
        job = self._api.find_job(instance_id)
        if job is None or text(job, "status") in ENDED:
            return Ended(known=False)
        if text(job, "status") == "FAILED":
            self._api.delete(instance_id)
        else:
            self._api.stop(instance_id)
        return Ended()

    def stream_logs(self, instance_id: str, after: str | None) -> LogLines:
        """What the job printed. The cursor is the number of lines."""
        lines = self._api.read_logs(instance_id).splitlines()
        first = int(after) if after and after.isdecimal() else 0
        fresh = lines[first : first + MOST_LINES]
        return LogLines(lines=tuple(line[:LONGEST_LINE] for line in fresh), cursor=str(first + len(fresh)))

    def _instance(self, name: str, job: Mapping[str, Any]) -> Instance:
        status = text(job, "status") or ""
        state = STATES.get(status, InstanceState.BOOTING)
        if status == "FAILED" and text(job, "error_type") == NO_TURN:
            state = InstanceState.STOPPED
        door = self._find_door(name, job) if state is InstanceState.RUNNING else None
        if state is InstanceState.RUNNING and door is None and (text(job, "entrypoint") or "").startswith(TOGETHER):
            state = InstanceState.PROVISIONING
        return Instance(
            id=name, label=name, state=state, reason=(text(job, "message") or "") if status != "RUNNING" else "",
            billed="nothing" if status == "FAILED" else "all", usd_per_hour=Decimal(0), created_at=_when(job),
            addresses={PORT: door} if door else {},
        )  # fmt: skip

    def _find_door(self, name: str, job: Mapping[str, Any]) -> str | None:
        """Where a job of ours says that its door is."""
        driver = urlsplit(text(job, "driver_agent_http_address") or "").hostname
        if name in self._doors or not name.startswith(LABEL_PREFIX) or driver is None:
            return self._doors.get(name)
        try:
            found = _DOOR.search(self._api.read_logs(name))
        except ConnectorError:  # its node does not answer now; the list is whole all the same
            return None
        if found:
            host = found[2] or driver
            self._doors[name] = f"[{host}]:{found[1]}" if ":" in host else f"{host}:{found[1]}"
        return self._doors.get(name)


def build_body(rent: Rent, ask: Ask, package: str) -> dict[str, Any]:
    """What puts a job in line. One over several nodes asks for them itself, once it runs, so that it gets all or none."""
    body = {
        "submission_id": rent.label, "entrypoint": "exec python3 job.py", "metadata": {"made_by": "peft-studio"},
        "runtime_env": {"working_dir": package, "env_vars": dict(rent.settings)},
    }  # fmt: skip
    if ask.machines > 1:
        wanted = f"{ask.machines} {ask.gpus} {ask.cpus} {shlex.quote(ask.resource or '-')}"
        return {**body, "entrypoint": f"{TOGETHER} {wanted}"}
    kind = {"entrypoint_resources": {ask.resource: 0.001}} if ask.resource else {}
    return {**body, "entrypoint_num_cpus": ask.cpus, "entrypoint_num_gpus": ask.gpus, **kind}


def _is_told(job: Mapping[str, Any]) -> bool:
    status = text(job, "status")
    if status in ENDED:
        return False
    ended_ms = count(job, "end_time")
    fresh = ended_ms is None or datetime.now(UTC).timestamp() - ended_ms / 1000 < TOLD_S
    return status != "FAILED" or fresh


def _when(job: Mapping[str, Any]) -> datetime | None:
    started_ms = count(job, "start_time")
    return datetime.fromtimestamp(started_ms / 1000, UTC) if started_ms else None
