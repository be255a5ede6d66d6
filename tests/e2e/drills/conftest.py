"""A home, a provider of machines, and the network between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from peft_studio import Studio
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from tests.e2e.drills.drill import Drill
from tests.emulators.machine import Machines
from tests.emulators.providers import serve
from tests.emulators.relay import Relay


@pytest.fixture
def drill(
    request: pytest.FixtureRequest,
    studio: Studio,
    make_spec: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Drill]:
    """A provider is served, RunPod where no other is asked for; its machines stand behind a relay; nothing is launched."""
    provider = getattr(request, "param", "runpod")
    monkeypatch.setenv(LAG_VARIABLE, "1")
    with Relay() as relay, Machines(tmp_path / "machines") as machines, serve(provider, machines) as (cloud, found_at):
        if proxy := found_at.get("RUNPOD_PROXY_URL"):
            port = urlsplit(proxy).port
            assert port
            found_at = {**found_at, "RUNPOD_PROXY_URL": proxy.replace(str(port), str(relay.lead(port)))}
        else:
            machines.reached_at = relay.lead
        for name, value in found_at.items():
            monkeypatch.setenv(name, value)
        made = Drill(studio, cloud, machines, relay, make_spec, tmp_path, provider)
        yield made
        for client in made.clients:
            client.kill()
