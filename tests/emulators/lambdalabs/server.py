"""Lambda's routes: types as a map, keys, launch without a second chance, the list, terminate."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from typing import Any

from tests.emulators.lambdalabs.state import REGIONS, Cloud, refuse
from tests.emulators.lambdalabs.vm import BadUserData, read_user_data
from tests.emulators.loopback import Reply, Request, Routes, serve

TAKES = {
    "region_name", "instance_type_name", "ssh_key_names", "file_system_names", "file_system_mounts", "hostname", "name", "image",
    "user_data", "tags", "firewall_rulesets",
}  # fmt: skip
ROUTES: Routes[Cloud] = Routes()


@ROUTES.on("GET", r"/api/v1/instance-types")
def list_types(cloud: Cloud, request: Request) -> Reply:
    return Reply(body={"data": {kind.name: {
        "instance_type": kind.shown(),
        "regions_with_capacity_available": [
            {"name": region, "description": REGIONS[region]} for region, free in kind.stock.items() if free > 0
        ],
    } for kind in cloud.kinds}})  # fmt: skip


@ROUTES.on("GET", r"/api/v1/instances")
def list_instances(cloud: Cloud, request: Request) -> Reply:
    with cloud.lock:
        return Reply(body={"data": [cloud.shown(one) for one in cloud.listed()]})


@ROUTES.on("GET", r"/api/v1/ssh-keys")
def list_keys(cloud: Cloud, request: Request) -> Reply:
    return Reply(body={"data": cloud.ssh_keys})


@ROUTES.on("POST", r"/api/v1/ssh-keys")
def add_key(cloud: Cloud, request: Request) -> Reply:
    body = request.json()
    with cloud.lock:
        if any(one["name"] == body["name"] for one in cloud.ssh_keys):
            return refuse(400, "global/duplicate", "An SSH key with this name already exists.")
        made = {"id": secrets.token_hex(16), "name": body["name"], "public_key": body["public_key"]}
        cloud.ssh_keys.append(made)
    return Reply(body={"data": made})


@ROUTES.on("POST", r"/api/v1/instance-operations/launch")
def launch(cloud: Cloud, request: Request) -> Reply:
    body = request.json()
    if fault := find_fault(body):
        return refuse(400, "global/invalid-parameters", f"Invalid request data: {fault}")
    with cloud.lock:
        kind = cloud.kind(body["instance_type_name"])
        known = {one["name"] for one in cloud.ssh_keys}
        if kind is None or body["region_name"] not in REGIONS or not known.issuperset(body["ssh_key_names"]):
            return refuse(404, "global/object-does-not-exist", "Specified object does not exist.", "Check the ID.")
        if kind.stock.get(body["region_name"], 0) < 1:
            return refuse(
                400, "instance-operations/launch/insufficient-capacity", "Not enough capacity to fulfill launch request.",
                "Choose an instance type with more availability, or try again later.",
            )  # fmt: skip
        return Reply(body={"data": {"instance_ids": [cloud.rent(body, kind).id]}})


@ROUTES.on("POST", r"/api/v1/instance-operations/terminate")
def terminate(cloud: Cloud, request: Request) -> Reply:
    with cloud.lock:
        wanted = request.json()["instance_ids"]
        found = [one for one in cloud.rented if one.id in wanted]
        if len(found) != len(wanted):
            return refuse(404, "global/object-does-not-exist", "Specified instance does not exist.", "Check the ID.")
        for one in found:
            cloud.end(one)
        return Reply(body={"data": {"terminated_instances": [cloud.shown(one) for one in found]}})


def find_fault(body: dict[str, Any]) -> str:
    """What Lambda would not take of a launch."""
    if unknown := set(body) - TAKES:
        return f"unknown {sorted(unknown)}"
    if missing := {"region_name", "instance_type_name", "ssh_key_names"} - set(body):
        return f"missing {sorted(missing)}"
    if len(body["ssh_key_names"]) != 1:
        return "exactly one SSH key must be specified"
    if len(body.get("name", "")) > 64 or len(body.get("user_data", "").encode()) > 1_000_000:
        return "too long"
    try:
        read_user_data(body.get("user_data", ""))
    except BadUserData as exc:
        return str(exc)
    return ""


def serve_lambda(cloud: Cloud) -> AbstractContextManager[str]:
    """Serve a cloud on loopback and give its address."""
    return serve(cloud, ROUTES)
