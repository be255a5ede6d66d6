"""A run on a rented machine, from script: launch, stream, fetch, gone. The provider is emulated; its machine really boots, trains and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.ports import OfferQuery
from peft_studio.core.runs.log import read_events
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from peft_studio.core.services.run import Run
from tests.conftest import wait_for
from tests.emulators.machine import Machines
from tests.emulators.runpod import Cloud, make_gpu, serve_runpod

pytestmark = pytest.mark.slow

KEY = "rpa_" + "A" * 40


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """RunPod with one kind of GPU on sale."""
    monkeypatch.setenv(LAG_VARIABLE, "1")
    with Machines(tmp_path / "pods") as machines:
        cloud = Cloud(machines=machines, gpus=[make_gpu("NVIDIA L4", 24, secure=0.39)], keys={KEY: "all"})
        with serve_runpod(cloud) as (address, proxy):
            monkeypatch.setenv("RUNPOD_URL", address)
            monkeypatch.setenv("RUNPOD_PROXY_URL", proxy)
            yield cloud


def _types(run: Run) -> list[str]:
    return [event.type for event in read_events(run.folder.events)]


def test_launch_stream_fetch_gone(cloud: Cloud, studio: Studio, make_spec: Callable[..., Any]) -> None:
    """From a script: the run reads like a local one, its adapter is here and loads, and nothing is left at the provider."""
    studio.connect("runpod", key=KEY, keep=False)
    offer = studio._machines.rentals()["runpod"].list_offers(OfferQuery()).offers[0]
    run = studio.launch(make_spec(max_steps=8), compute=offer, max_usd=1)
    run.wait(timeout=240)
    assert run.state == "completed"
    assert run.provider == "runpod"
    assert run.adapter.path.is_dir()
    wait_for(lambda: not cloud.pods, "the end of the machine", timeout_s=60)
    assert len(run.metrics()) == 8
    wait_for(lambda: "machine_gone" in _types(run), "the proof that it is gone", timeout_s=60)
    assert not studio._machines.desk.store.list_open()
    assert len(cloud.gone) == 1
