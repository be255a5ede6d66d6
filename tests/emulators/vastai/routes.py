"""Vast.ai's routes, with their trailing slashes: search, accept, the list in pages of 25, destroy, logs by way of a file elsewhere, charges."""

from __future__ import annotations

import base64
import contextlib
import json
import operator
from collections.abc import Callable, Iterator
from typing import Any

from tests.emulators.loopback import Reply, Request, Routes, serve
from tests.emulators.vastai.state import Contract, Market, refuse

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "neq": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
    "in": lambda value, among: value in among, "notin": lambda value, among: value not in among,
}  # fmt: skip
TAKES = {
    "image", "disk", "env", "onstart", "runtype", "label", "price", "cancel_unavail", "target_state", "image_login", "args", "args_str",
    "template_hash_id", "volume_info", "client_id", "extra", "force", "jupyter_dir", "lang_utf8", "python_utf8", "use_jupyter_lab", "user",
}  # fmt: skip
PAGE = 25
ROUTES: Routes[Market] = Routes()


@ROUTES.on("GET", r"/api/v0/users/current/?")
def me(market: Market, request: Request) -> Reply:
    return Reply(body=market.keys[request.token])


@ROUTES.on("POST", r"/api/v0/bundles/")
def search(market: Market, request: Request) -> Reply:
    if market.searches_left < 1:
        return refuse(429, "search_quota_exceeded", "Daily search quota exceeded.")
    market.searches_left -= 1
    body = {"verified": {"eq": True}, "rentable": {"eq": True}, "rented": {"eq": False}, **request.json()}
    kind, disk = body.pop("type", "on-demand"), body.pop("allocated_storage", 8)
    if kind not in ("on-demand", "ondemand", "bid", "reserved"):
        return refuse(400, "invalid_request", f"type {kind}")
    order, limit = body.pop("order", []), body.pop("limit", 64)
    rows = [ask.shown(disk=disk, bid=kind == "bid") for ask in market.asks]
    for name, wanted in body.items():
        if not isinstance(wanted, dict) or not set(wanted) <= set(OPERATORS) or (rows and name not in rows[0]):
            return refuse(400, "invalid_request", f"{name} is not a valid search key")
        for how, value in wanted.items():
            rows = [row for row in rows if OPERATORS[how](row[name] or False, like(row[name], value))]
    for name, way in reversed(order):
        rows.sort(key=operator.itemgetter(name), reverse=way == "desc")
    # Its own client takes no other type here, not even one with a charset.
    return Reply(200, {"offers": rows[:limit]}, {"Content-Type": "application/json"})


@ROUTES.on("PUT", r"/api/v0/asks/(\d+)/")
def accept(market: Market, request: Request, number: str) -> Reply:
    body = request.json()
    if fault := find_fault(body):
        return refuse(400, "invalid_args", f"error 400/3467: Invalid args: {fault}", ask_id=int(number))
    with market.lock:
        ask = next((one for one in market.asks if one.id == int(number)), None)
        if ask is None or ask.rented:
            return refuse(
                404, "invalid_args", f"error 404/3603: no_such_ask Instance type by id {number} is not available."
            )
        made = market.rent(ask, body)
        if made.status == "stopped":
            return refuse(400, "invalid_price", "error 400/3470: bid is too low", new_contract=made.id)
        return Reply(body={"success": True, "new_contract": made.id})


@ROUTES.on("GET", r"/api/v1/instances/")
def list_instances(market: Market, request: Request) -> Reply:
    query = request.query
    limit, token = min(PAGE, int(query.get("limit", ["25"])[0])), query.get("after_token", [""])[0]
    with market.lock:
        everything = sorted(market.look() if not token else market.contracts, key=lambda one: one.id)
        try:
            after = json.loads(base64.b64decode(token))["values"]["id"] if token else 0
        except ValueError:
            return refuse(400, "invalid_token", "Invalid pagination token")
        rest = [one for one in everything if one.id > after]
        page = rest[: limit - market.lacks]
        following = None
        if len(rest) > limit:
            following = base64.b64encode(json.dumps({"values": {"id": rest[limit - 1].id}}).encode()).decode()
        return Reply(body={
            "success": True, "instances_found": len(page), "total_instances": len(everything),
            "instances": [market.shown(one) for one in page], "next_token": following,
        })  # fmt: skip


@ROUTES.on("GET", r"/api/v0/instances/(\d+)/")
def get_instance(market: Market, request: Request, number: str) -> Reply:
    """An object despite its name, and null when it is gone."""
    one = market.contract(number)
    return Reply(body={"instances": market.shown(one) if one else None})


@ROUTES.on("DELETE", r"/api/v0/instances/(\d+)/")
def destroy(market: Market, request: Request, number: str) -> Reply:
    with market.lock:
        one = market.contract(number)
        if one is None:
            return refuse(404, "not_found", "Instance not found")
        if request.token not in market.keys and request.token != one.key:
            return refuse(403, "not_authorized", "This key is for another instance.")
        market.destroy(one)
        return Reply(body={"success": True, "msg": "Instance destroyed successfully"})


@ROUTES.on("PUT", r"/api/v0/instances/request_logs/(\d+)/")
def request_logs(market: Market, request: Request, number: str) -> Reply:
    one = market.contract(number)
    if one is None:
        return refuse(404, "invalid_id", "Invalid instance id.")
    one.log_asks = 0
    tail = int(request.json().get("tail", 1000))
    return Reply(body={"success": True, "result_url": f"{elsewhere(market)}/s3/{market.log_name(one)}.log?tail={tail}"})


@ROUTES.on("GET", r"/s3/([0-9a-f]{64})\.log")
def read_log(market: Market, request: Request, name: str) -> Reply:
    """Of another host, which knows no key of Vast.ai's."""
    one = next((one for one in [*market.contracts, *market.gone] if market.log_name(one) == name), None)
    if one is None or one.log_asks < market.logs_after:
        if one is not None:
            one.log_asks += 1
        return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
    lines = one.machine.text.splitlines() if one.machine else []
    tail = int(request.query["tail"][0])
    return Reply(200, "".join(f"{line}\n" for line in lines[-tail:]).encode(), {"Content-Type": "text/plain"})


@ROUTES.on("GET", r"/api/v0/charges/")
def list_charges(market: Market, request: Request) -> Reply:
    wanted = json.loads(request.query["select_filters"][0])
    if set(wanted["day"]) != {"gte", "lte"}:
        return refuse(400, "invalid_request", "Must provide both 'day' gte and lte filters for instance charges")
    rows = [
        row
        for one in [*market.contracts, *market.gone]
        if (row := show_charge(market, one))["end"] >= wanted["day"]["gte"]
    ]
    start = int(request.query.get("after_token", ["0"])[0])
    end = start + int(request.query["limit"][0])
    following = str(end) if end < len(rows) else None
    body = {"success": True, "count": len(rows[start:end]), "total": len(rows), "results": rows[start:end], "next_token": following}  # fmt: skip
    return Reply(body=body)


def like(known: Any, given: Any) -> Any:
    """A number is given as such or, by Vast.ai's own client, as text."""
    return float(given) if isinstance(given, str) and isinstance(known, int | float) else given


def show_charge(market: Market, one: Contract) -> dict[str, Any]:
    return {
        "type": "instance", "source": f"instance-{one.id}", "description": f"Instance {one.id} Charges",
        "start": int(one.created_at.timestamp()), "end": int((one.ended_at or market.now()).timestamp()),
        "amount": round(float(market.cost_usd(one)), 3), "items": [], "metadata": {"label": one.body.get("label")},
    }  # fmt: skip


def elsewhere(market: Market) -> str:
    """The same server under a name that is another origin."""
    return market.address.replace("127.0.0.1", "localhost")


def find_fault(body: dict[str, Any]) -> str:
    """What Vast.ai would not take of a purchase."""
    if unknown := set(body) - TAKES:
        return f"unknown {sorted(unknown)}"
    if "image" not in body or not isinstance(body.get("env", {}), dict):
        return "image and env"
    if len(body.get("onstart", "")) > 4048:
        return "onstart is too long"
    if body.get("price") is not None and not 0.001 <= body["price"] <= 128:
        return "price"
    return ""


@contextlib.contextmanager
def serve_vast(market: Market) -> Iterator[str]:
    """Serve a market on loopback and give its address."""
    with serve(market, ROUTES) as address:
        market.address = address
        yield address
