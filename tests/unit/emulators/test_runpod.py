"""RunPod's emulator where it is meanest: a list that lags, a minute that is full, a host that is lost; and its proxy carries WebSockets."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.conftest import wait_for
from tests.emulators.machine import Machines
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod

KEY = "rpa_" + "A" * 40
ECHO = """
import os
from websockets.sync.server import serve
def echo(socket):
    for text in socket:
        socket.send(socket.request.path + " " + text)
with serve(echo, "127.0.0.1", int(os.environ["PEFT_STUDIO_PORT_8080"])) as server:
    server.serve_forever()
"""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(machines=Machines(tmp_path), gpus=[make_gpu("NVIDIA L4", 24, secure=0.39)], keys={KEY: "all"})
    with serve_runpod(made):
        yield made


def ask(cloud: Cloud, method: str, path: str, body: Any = None) -> httpx.Response:
    return httpx.request(method, cloud.address + path, json=body, headers={"Authorization": f"Bearer {KEY}"})


def create(cloud: Cloud, args: str = "sleep 600") -> str:
    body = {"name": "x", "image": "y", "gpu": {"id": "NVIDIA L4"}, "args": args, "ports": ["8080/http"]}
    return str(ask(cloud, "POST", "/v2/pods", body).json()["id"])


def test_its_proxy_carries_websockets(cloud: Cloud) -> None:
    """To the path behind the pod's name; no pod is 404, nobody listening 502."""
    pod = create(cloud, f"python3 -c {shlex.quote(ECHO)}")
    address = cloud.proxy.format(pod=pod, port=8080)

    def said() -> str | None:
        try:
            with connect(address.replace("http:", "ws:") + "/events?after=7", open_timeout=60) as socket:
                socket.send("hello")
                return str(socket.recv(timeout=60))
        except (WebSocketException, OSError):
            return None

    assert wait_for(said, "an echo") == "/events?after=7 hello"
    assert httpx.get(cloud.proxy.format(pod="none", port=8080)).status_code == 404
    assert httpx.get(cloud.proxy.format(pod=create(cloud), port=8080)).status_code == 502


def test_a_list_may_lag_and_a_minute_be_full(cloud: Cloud) -> None:
    """The newest pod is missing so often; then 429 says how long to wait, as a problem in JSON."""
    pod = create(cloud)
    cloud.lagging = 1
    assert ask(cloud, "GET", "/v2/pods").json() == {"pods": []}
    assert [one["id"] for one in ask(cloud, "GET", "/v2/pods").json()["pods"]] == [pod]
    cloud.a_minute = 3
    refused = ask(cloud, "GET", "/v2/pods")
    assert (refused.status_code, refused.headers["Content-Type"]) == (429, "application/problem+json")
    assert 0 < int(refused.headers["Retry-After"]) <= 61


def test_a_lost_host_takes_its_processes_along(cloud: Cloud) -> None:
    """The pod stands there, EXITED, costs nothing an hour, and can be started again in the same folder."""
    pod = create(cloud)
    assert ask(cloud, "GET", f"/v2/pods/{pod}").json()["status"] == "RUNNING"
    machine = cloud.pods[pod].machine
    assert machine is not None
    cloud.preempt(cloud.pods[pod])
    assert not psutil.pid_exists(machine.pid) or psutil.Process(machine.pid).status() == "zombie"
    shown = ask(cloud, "GET", f"/v2/pods/{pod}").json()
    assert (shown["status"], shown["cost"], shown["actions"]) == ("EXITED", 0.0, ["start", "terminate"])
    assert ask(cloud, "POST", f"/v2/pods/{pod}/action", {"action": "restart"}).status_code == 409
    ask(cloud, "POST", f"/v2/pods/{pod}/action", {"action": "start"})
    assert ask(cloud, "GET", f"/v2/pods/{pod}").json()["status"] == "RUNNING"
    assert cloud.pods[pod].machine is not machine
    assert ask(cloud, "POST", f"/v2/pods/{pod}/action", {"action": "terminate"}).status_code == 204
    assert ask(cloud, "GET", f"/v2/pods/{pod}").status_code == 404
