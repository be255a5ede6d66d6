"""A home, RunPod, and the network between the two."""

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
    studio: Studio, make_spec: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Drill]:
    """RunPod is served, its machines' doors stand behind a relay, nothing is launched."""
    monkeypatch.setenv(LAG_VARIABLE, "1")
    with Machines(tmp_path / "machines") as machines, serve("runpod", machines) as (cloud, found_at):
        proxy = found_at["RUNPOD_PROXY_URL"]
        monkeypatch.setenv("RUNPOD_URL", found_at["RUNPOD_URL"])
        port = urlsplit(proxy).port
        assert port
        with Relay(port) as relay:
            monkeypatch.setenv("RUNPOD_PROXY_URL", proxy.replace(str(port), str(relay.port)))
            made = Drill(studio, cloud, machines, relay, make_spec, tmp_path)
            yield made
            for client in made.clients:
                client.kill()
