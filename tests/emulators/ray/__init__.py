"""A Ray cluster's dashboard as far as the connector asks it: shapes and statuses as ray 2.60.0 gave them. Nothing runs in it.

``tests/e2e/test_ray.py`` is the same against the real one.
"""

from __future__ import annotations

import contextlib
import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.loopback import Emulated, Reply, Request, Routes, serve

GIB = 2**30
ROUTES: Routes[Cluster] = Routes()


@dataclass(kw_only=True)
class Cluster(Emulated):
    """``nodes``: name → resources there; ``taken``: the same, in use. ``token``: empty where none is asked for."""

    nodes: dict[str, dict[str, float]] = field(default_factory=lambda: {"n1": {"CPU": 4.0, "memory": 16.0 * GIB}})
    cards: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    taken: dict[str, dict[str, float]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    token: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    packages: dict[str, bytes] = field(default_factory=dict)
    made: int = 0
    starts: bool = True  # what is submitted gets its turn at once

    def before(self, request: Request) -> Reply | None:
        if self.token and not request.token:
            return Reply(401, b"Unauthorized: Missing authentication token")
        if self.token and request.token != self.token:
            return Reply(403, b"Forbidden: Invalid authentication token")
        return None

    def run(self, job: str, *, port: int = 23456) -> None:
        """Give a job its turn."""
        self.jobs[job] |= {"status": "RUNNING", "driver_agent_http_address": "http://10.0.0.7:52365"}
        self.logs[job] = f"Runtime env is setting up.\npeft-studio: its door is on port {port}\n"

    def files(self, job: str) -> dict[str, str]:
        """What a job was given."""
        uri = self.jobs[job]["runtime_env"]["working_dir"]
        with zipfile.ZipFile(io.BytesIO(self.packages[uri.removeprefix("gcs://")])) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}


@contextlib.contextmanager
def serve_ray(cluster: Cluster) -> Iterator[str]:
    """Serve it on loopback and give the address."""
    with serve(cluster, ROUTES) as address:
        yield address


@ROUTES.on("GET", "/api/version")
def _version(cluster: Cluster, request: Request) -> Reply:
    return Reply(body={"version": "4", "ray_version": "2.60.0", "ray_commit": "b7f4259", "session_name": "session_1"})


@ROUTES.on("GET", "/nodes")
def _nodes(cluster: Cluster, request: Request) -> Reply:
    summary = [
        {"gpus": cluster.cards.get(name, []), "raylet": {
            "nodeId": name, "state": "DEAD" if name in cluster.dead else "ALIVE", "resourcesTotal": has, "labels": {}}}
        for name, has in cluster.nodes.items()
    ]  # fmt: skip
    return Reply(body={"result": True, "msg": "Node summary fetched.", "data": {"summary": summary}})


@ROUTES.on("GET", "/api/cluster_status")
def _status(cluster: Cluster, request: Request) -> Reply:
    usage = {
        name: {key: [cluster.taken.get(name, {}).get(key, 0.0), total] for key, total in has.items()}
        for name, has in cluster.nodes.items()
    }
    return Reply(body={"data": {"clusterStatus": {"loadMetricsReport": {"usageByNode": usage}}}})


@ROUTES.on("PUT", r"/api/packages/gcs/(_ray_pkg_[0-9a-f]+\.zip)")
def _package(cluster: Cluster, request: Request, name: str) -> Reply:
    cluster.packages[name] = request.body
    return Reply()


@ROUTES.on("GET", "/api/jobs/")
def _jobs(cluster: Cluster, request: Request) -> Reply:
    driver = {"type": "DRIVER", "job_id": "01000000", "submission_id": None, "status": "RUNNING", "entrypoint": ""}
    return Reply(body=[*cluster.jobs.values(), driver])


@ROUTES.on("POST", "/api/jobs/")
def _submit(cluster: Cluster, request: Request) -> Reply:
    body = request.json()
    name = body["submission_id"]
    with cluster.lock:
        if name in cluster.jobs:
            said = f"ValueError: Job with submission_id {name} already exists. Please use a different submission_id."
            return Reply(
                500,
                f"Traceback (most recent call last):\n  File …\nRuntimeError: status code 400: …\n{said}\n.\n".encode(),
            )
        cluster.made += 1
        cluster.jobs[name] = {
            **body, "type": "SUBMISSION", "job_id": None, "status": "PENDING", "message": "Job has not started yet.", "error_type": None,
            "start_time": int(time.time() * 1000), "end_time": None, "driver_agent_http_address": None,
        }  # fmt: skip
        if cluster.starts:
            cluster.run(name)
    return Reply(body={"job_id": name, "submission_id": name})


@ROUTES.on("GET", "/api/jobs/([^/]+)")
def _job(cluster: Cluster, request: Request, name: str) -> Reply:
    return Reply(body=cluster.jobs[name]) if name in cluster.jobs else _no_such(name)


@ROUTES.on("GET", "/api/jobs/([^/]+)/logs")
def _logs(cluster: Cluster, request: Request, name: str) -> Reply:
    return Reply(body={"logs": cluster.logs.get(name, "")}) if name in cluster.jobs else _no_such(name)


@ROUTES.on("POST", "/api/jobs/([^/]+)/stop")
def _stop(cluster: Cluster, request: Request, name: str) -> Reply:
    if name not in cluster.jobs:
        return _no_such(name)
    if cluster.jobs[name]["status"] == "RUNNING":  # one that waits goes on waiting
        cluster.jobs[name] |= {"status": "STOPPED", "end_time": int(time.time() * 1000)}
    return Reply(body={"stopped": True})


@ROUTES.on("DELETE", "/api/jobs/([^/]+)")
def _delete(cluster: Cluster, request: Request, name: str) -> Reply:
    if cluster.jobs[name]["status"] in ("PENDING", "RUNNING"):
        return Reply(500, b"RuntimeError: Attempted to delete job, but it is in a non-terminal state.")
    del cluster.jobs[name]
    return Reply(body={"deleted": True})


def _no_such(name: str) -> Reply:
    return Reply(404, f"Job {name} does not exist".encode())
