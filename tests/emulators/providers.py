"""Each provider of machines with one on sale, whose machines really boot: for tests that are the same at all of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from tests.emulators import lambdalabs, runpod, vastai
from tests.emulators.machine import Machines

KEYS = {
    "runpod": "rpa_" + "A" * 40,
    "lambdalabs": "secret_tests_" + "0123456789abcdef" * 2 + "." + "A1" * 16,
    "vastai": "ab" * 32,
}
PROVIDERS = sorted(KEYS if lambdalabs.SSHD else KEYS.keys() - {"lambdalabs"})
"""Those that can be served here: Lambda's machines need OpenSSH's server."""


@contextlib.contextmanager
def serve(provider: str, machines: Machines) -> Iterator[tuple[Any, Mapping[str, str]]]:
    """Its state, and the environment in which its connector finds it."""
    key = KEYS[provider]
    if provider == "runpod":
        cloud = runpod.Cloud(machines=machines, gpus=[runpod.make_gpu("NVIDIA L4", 24, secure=0.39)], keys={key: "all"})
        with runpod.serve_runpod(cloud) as (address, proxy):
            yield cloud, {"RUNPOD_URL": address, "RUNPOD_PROXY_URL": proxy}
    elif provider == "vastai":
        users = {key: {"id": 42, "email": "ann@example.org", "credit": 12.5}}
        market = vastai.Market(keys=users, asks=[vastai.Ask(1000 + n) for n in range(3)], machines=machines)
        with vastai.serve_vast(market) as address:
            yield market, {"VAST_URL": address}
    else:
        kinds = [lambdalabs.Kind("gpu_1x_h100", stock={"us-east-1": 5})]
        rented = lambdalabs.Cloud(keys=(key,), kinds=kinds, machines=machines)
        with lambdalabs.serve_lambda(rented) as address:
            path = f"{machines.root / 'network'}{os.pathsep}{os.environ['PATH']}"
            yield rented, {"LAMBDA_URL": address, "PATH": path}


def count_left(state: Any) -> int:
    """How many machines it has that are not gone."""
    if isinstance(state, runpod.Cloud):
        return len(state.pods)
    if isinstance(state, vastai.Market):
        return len(state.contracts)
    return sum(one.status != "terminated" for one in state.rented)  # of those it speaks for a while


def count_made(state: Any) -> int:
    """How many machines it ever had."""
    return state.launches if isinstance(state, lambdalabs.Cloud) else count_left(state) + len(state.gone)
