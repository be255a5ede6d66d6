"""RunPod's REST API v2, route by route: refusals as its OpenAPI file words them, and log lines as server-sent events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.emulators.loopback import Reply, Request, Routes, serve
from tests.emulators.runpod.proxy import serve_proxy
from tests.emulators.runpod.state import ACTIONS, Cloud, Pod, problem, stamp

ROUTES: Routes[Cloud] = Routes()
CREATE = {"name", "image", "templateId", "gpu", "cpu", "disk", "env", "ports", "args", "mounts", "cloud", "dataCenterIds", "startSsh", "startJupyter", "registry", "globalNetworking"}  # fmt: skip
GPU = {"id", "count", "allowedCudaVersions", "minCudaVersion"}
NO_ROOM = "There are no longer any instances available with the requested specifications. Please refresh and try again."
HOUR_S = 3600


@contextmanager
def serve_runpod(cloud: Cloud) -> Iterator[tuple[str, str]]:
    """Serve API and proxy on loopback; gives what RUNPOD_URL and RUNPOD_PROXY_URL are set to. Leaving ends every machine."""
    with (
        cloud.machines,
        serve_proxy(lambda pod, port: _find_port(cloud, pod, port)) as proxy,
        serve(cloud, ROUTES) as address,
    ):
        cloud.address = address
        yield address, f"{proxy}/{{pod}}-{{port}}"


def _find_port(cloud: Cloud, pod: str, port: int) -> int | None:
    cloud.settle()
    found = cloud.pods.get(pod)
    return found.machine.ports.get(port) if found and found.machine and found.status == "RUNNING" else None


def _answered(cloud: Cloud, status: int, body: Any = b"") -> Reply:
    left = max(0, cloud.a_minute - len(cloud.minute))
    limits = {
        "RateLimit": f'"minute";r={left};t=60',
        "RateLimit-Policy": f'"minute";q={cloud.a_minute};w=60, "hour";q=3000;w=3600',
    }
    return Reply(status, body, limits)


@ROUTES.on("GET", "/v2/pods")
def list_pods(cloud: Cloud, request: Request) -> Reply:
    cloud.settle()
    shown = list(cloud.pods.values())
    if cloud.lagging:
        cloud.lagging -= 1
        shown = shown[:-1]
    return _answered(cloud, 200, {"pods": [show(cloud, pod) for pod in shown]})


@ROUTES.on("POST", "/v2/pods")
def create_pod(cloud: Cloud, request: Request) -> Reply:
    body = request.json()
    if errors := _violations(body):
        return problem(422, "Unprocessable Entity", "request body failed validation", errors)
    gpu = next((one for one in cloud.gpus if one["id"] == body["gpu"]["id"]), None)
    tier = body.get("cloud", "SECURE").lower()
    if gpu is None or not gpu[tier]:
        return problem(400, "Bad Request", f"gpu type {body['gpu']['id']} is not offered in {tier} cloud")
    price = Decimal(str(gpu["price"][tier])) * body["gpu"].get("count", 1)
    if cloud.balance < price:
        return problem(402, "Payment Required", "insufficient balance to start this pod")
    wanted = body.get("dataCenterIds") or gpu["where"]
    if gpu["free"] == "NONE" or gpu["id"] in cloud.phantom or not set(wanted) & set(gpu["where"]):
        return problem(400, "Bad Request", NO_ROOM)
    with cloud.lock:
        pod = cloud.create(body)
        if cloud.made_and_failed:
            cloud.made_and_failed -= 1
            return problem(500, "Internal Server Error", "upstream request failed")
    return _answered(cloud, 201, show(cloud, pod))


def _violations(body: Any) -> list[str]:
    """What the contract says against a body."""
    if not isinstance(body, dict):
        return ["$: an object is required"]
    errors = [f"$: additional properties '{name}' not allowed" for name in sorted(set(body) - CREATE)]
    errors += [f"$: missing property '{name}'" for name in ("name", "image", "gpu") if not body.get(name)]
    gpu = body.get("gpu") or {}
    errors += [f"$.gpu: additional properties '{name}' not allowed" for name in sorted(set(gpu) - GPU)]
    errors += [] if isinstance(body.get("args", ""), str) else ["$.args: got array, want string"]
    env = body.get("env", {})
    errors += [f"$.env.{name}: want string" for name, value in env.items() if not isinstance(value, str)]
    errors += ["$.env: at most 50 properties"] if len(env) > 50 else []
    errors += [f"$.ports: '{one}'" for one in body.get("ports", []) if not re.fullmatch(r"\d+/(http|tcp)", str(one))]
    return errors


@ROUTES.on("GET", r"/v2/pods/([^/]+)")
def get_pod(cloud: Cloud, request: Request, name: str) -> Reply:
    cloud.settle()
    pod = cloud.pods.get(name)
    return _answered(cloud, 200, show(cloud, pod)) if pod else _missing()


@ROUTES.on("DELETE", r"/v2/pods/([^/]+)")
def delete_pod(cloud: Cloud, request: Request, name: str) -> Reply:
    return _terminate(cloud, name)


@ROUTES.on("POST", r"/v2/pods/([^/]+)/action")
def act(cloud: Cloud, request: Request, name: str) -> Reply:
    cloud.settle()
    pod, action = cloud.pods.get(name), request.json().get("action")
    if pod is None:
        return _missing()
    if action not in ACTIONS[pod.status]:
        return problem(409, "Conflict", f"{action} is not valid while the pod is {pod.status}")
    if action == "terminate":
        return _terminate(cloud, name)
    if action in ("stop", "restart"):
        cloud.halt(pod, "EXITED")
    if action in ("start", "restart"):
        cloud.start(pod)
    return _answered(cloud, 200, show(cloud, pod))


def _terminate(cloud: Cloud, name: str) -> Reply:
    with cloud.lock:
        pod = cloud.pods.get(name)
        if pod is None:
            return _missing()
        if cloud.sticky:
            cloud.sticky -= 1
        else:
            cloud.terminate(pod)
    return _answered(cloud, 204)


@ROUTES.on("GET", r"/v2/pods/([^/]+)/logs")
def logs(cloud: Cloud, request: Request, name: str) -> Reply:
    """Lines after Last-Event-ID, or the last ``tail``; then silence, the line kept open, until there are more or nobody listens."""
    cloud.settle()
    pod = cloud.pods.get(name)
    if pod is None:
        return _missing()
    machine = pod.machine
    after = request.headers.get("Last-Event-ID")
    tail = int(request.query.get("tail", ["100"])[0])

    def stream() -> Iterator[bytes]:
        yield b": open\n\n"
        lines = machine.lines if machine else []
        sent = (
            next((n for n, line in enumerate(lines) if line.at >= datetime.fromisoformat(after)), len(lines))
            if after
            else max(0, len(lines) - tail)
        )
        while not cloud.release.wait(0.05):
            for line in lines[sent:]:
                at = line.at.isoformat().replace("+00:00", "Z")
                yield f"id: {at}\ndata: {json.dumps({'source': 'container', 'line': line.text, 'ts': at})}\n\n".encode()
                sent += 1
            yield b": still here\n\n"

    return Reply(200, stream(), {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})


@ROUTES.on("GET", "/v2/catalog/gpus")
def catalog(cloud: Cloud, request: Request) -> Reply:
    query = {name: values[0] for name, values in request.query.items()}
    wants = query.get("include") == "AVAILABILITY"
    if wants != ("product" in query) or (not wants and set(query) & {"count", "cloud", "minCudaVersion"}):
        return problem(400, "Bad Request", "include=AVAILABILITY and product are required together")
    tier = query.get("cloud", "SECURE").lower()
    return _answered(cloud, 200, {"gpus": [_kind(one, tier, int(query.get("count", 1)), wants) for one in cloud.gpus]})


def _kind(gpu: dict[str, Any], tier: str, count: int, wants: bool) -> dict[str, Any]:
    shown = {name: value for name, value in gpu.items() if name not in ("free", "where")}
    if not wants:
        return shown
    free = gpu["free"] if gpu[tier] and count <= gpu["maxCount"][tier] else "NONE"
    centres = [{"id": where, "name": where.replace("-", " "), "availability": free} for where in gpu["where"]]
    return {**shown, "availability": free, **({"dataCenters": centres} if free != "NONE" else {})}


@ROUTES.on("GET", "/v2/billing/pods")
def billing(cloud: Cloud, request: Request) -> Reply:
    """Records by pod and hour, from the hour in which ``startTime`` lies."""
    query = {name: values[0] for name, values in request.query.items()}
    if query.get("bucketSize") != "hour":
        return problem(400, "Bad Request", "this emulator counts by the hour alone")
    begin, now = datetime.fromisoformat(query["startTime"]).timestamp() // HOUR_S * HOUR_S, cloud.clock()
    records = []
    for pod in [*cloud.pods.values(), *cloud.gone]:
        at = max(begin, pod.made_at // HOUR_S * HOUR_S)
        while at < (pod.gone_at or now):
            spent = pod.spent(at, min(at + HOUR_S, now))
            gpu, disk = float(spent["gpu"]), float(spent["disk"])
            records.append({"podId": pod.id, "startTime": stamp(at), "endTime": stamp(at + HOUR_S), "totalAmount": gpu + disk, "gpuAmount": gpu, "cpuAmount": 0.0, "diskAmount": disk})  # fmt: skip
            at += HOUR_S
    totals = {
        name: sum(one[name] for one in records) for name in ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")
    }
    asked = {"startTime": stamp(begin), "endTime": stamp(now), "bucketSize": "hour", "podId": None}
    metadata = {
        "query": asked,
        "recordCount": len(records),
        "uniquePodCount": len({one["podId"] for one in records}),
        "totals": totals,
    }
    return _answered(cloud, 200, {"records": records, "metadata": metadata})


def _missing() -> Reply:
    return problem(404, "Not Found", "pod not found")


def show(cloud: Cloud, pod: Pod) -> dict[str, Any]:
    """A pod as RunPod shows it."""
    body, runs = pod.body, pod.status == "RUNNING"
    mapped = [
        {"private": port, "public": here, "type": kind, "ip": "127.0.0.1"}
        for port, here in (pod.machine.ports.items() if pod.machine else ())
        for kind in (next(one.partition("/")[2] for one in body["ports"] if one.startswith(f"{port}/")),)
        if kind == "tcp"
    ]
    ssh = next((one for one in mapped if one["private"] == 22), None) if runs else None
    direct = ssh and {
        "host": "127.0.0.1",
        "port": ssh["public"],
        "username": "root",
        "command": f"ssh root@127.0.0.1 -p {ssh['public']}",
    }
    return {
        "id": pod.id, "name": body["name"], "image": body["image"], "args": body.get("args", ""), "disk": body["disk"],
        "ports": body.get("ports", []), "env": body.get("env", {}), "registry": None, "status": pod.status, "actions": ACTIONS[pod.status],
        "mounts": body.get("mounts", {}), "gpu": {"id": body["gpu"]["id"], "count": body["gpu"].get("count", 1)}, "cloud": body.get("cloud", "SECURE"),
        "dataCenterId": (body.get("dataCenterIds") or ["EU-RO-1"])[0], "cudaVersion": "13.0", "ssh": {"proxy": None, "direct": direct},
        "template": None, "cost": float(pod.usd_per_hour) if pod.status in ("PROVISIONING", "STARTING", "RUNNING") else 0.0, "locked": False,
        "globalNetworking": {"enabled": False}, "createdAt": stamp(pod.made_at), "startedAt": stamp(pod.since) if runs else None,
        "runtime": {"uptime": int(cloud.clock() - pod.since), "gpus": [{"util": 0, "memoryUtil": 0}], "ports": mapped} if runs else None,
    }  # fmt: skip
