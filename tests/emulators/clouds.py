"""Each provider of machines with one on sale, served where its connector looks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulators import lambdalabs, runpod, vastai
from tests.emulators.machine import Machines

KEYS = {
    "runpod": "rpa_" + "A" * 40,
    "lambdalabs": "secret_tests_" + "0123456789abcdef" * 2 + "." + "A1" * 16,
    "vastai": "ab" * 32,
}


@contextlib.contextmanager
def serve(provider: str, machines: Machines, patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One of them; gives its state."""
    key = KEYS[provider]
    if provider == "runpod":
        cloud = runpod.Cloud(machines=machines, gpus=[runpod.make_gpu("NVIDIA L4", 24, secure=0.39)], keys={key: "all"})
        with runpod.serve_runpod(cloud) as (address, proxy):
            patch.setenv("RUNPOD_URL", address)
            patch.setenv("RUNPOD_PROXY_URL", proxy)
            yield cloud
    elif provider == "vastai":
        users = {key: {"id": 42, "email": "ann@example.org", "credit": 12.5}}
        market = vastai.Market(keys=users, asks=[vastai.Ask(1000 + n) for n in range(3)], machines=machines)
        with vastai.serve_vast(market) as address:
            patch.setenv("VAST_URL", address)
            yield market
    else:
        kinds = [lambdalabs.Kind("gpu_1x_h100", stock={"us-east-1": 5})]
        rented = lambdalabs.Cloud(keys=(key,), kinds=kinds, machines=machines)
        with lambdalabs.serve_lambda(rented) as address:
            patch.setenv("LAMBDA_URL", address)
            patch.setenv("PATH", str(machines.root / "network"), prepend=os.pathsep)
            yield rented
