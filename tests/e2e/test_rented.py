"""A run on a rented machine, from script: launch, stream, fetch, gone. Providers are emulated; their machines really boot, train and end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.ports import OfferQuery
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from peft_studio.core.services.run import Run
from tests.conftest import wait_for
from tests.emulators.machine import Machines
from tests.emulators.providers import KEYS, PROVIDERS, count_left, serve

pytestmark = pytest.mark.slow


@pytest.fixture
def launch(
    studio: Studio, make_spec: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., tuple[Run, Any]]]:
    """Launch on the first offer of a provider; gives the run and the provider's state."""
    monkeypatch.setenv(LAG_VARIABLE, "1")
    with contextlib.ExitStack() as stack:

        def _launch(provider: str, **fields: Any) -> tuple[Run, Any]:
            machines = stack.enter_context(Machines(tmp_path / f"machines-{provider}"))
            state, environment = stack.enter_context(serve(provider, machines))
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            studio.connect(provider, key=KEYS[provider], keep=False)
            offer = studio._machines.rentals()[provider].list_offers(OfferQuery()).offers[0]
            return studio.launch(make_spec(**fields), compute=offer, max_usd=5), state

        yield _launch


def told(run: Run) -> list[str]:
    """Kinds of events in its log."""
    return [event.type for event in read_events(run.folder.events)]


@pytest.mark.parametrize("provider", sorted(KEYS))
def test_launch_stream_fetch_gone(provider: str, studio: Studio, launch: Callable[..., tuple[Run, Any]]) -> None:
    """The run reads like a local one, its adapter is here, and nothing is left at the provider: its own list proves it."""
    if provider not in PROVIDERS:
        pytest.skip("needs OpenSSH's server")
    run, state = launch(provider, max_steps=8)
    run.wait(timeout=240)
    assert (run.state, run.provider) == ("completed", provider)
    assert run.adapter.path.is_dir()
    assert len(run.metrics()) == 8
    wait_for(lambda: "machine_gone" in told(run), "the proof that it is gone", timeout_s=60)
    assert not studio._machines.desk.store.list_open()
    assert not studio._machines.rentals()[provider].list_instances().instances
    assert count_left(state) == 0
    assert not list((run.folder.path / "machines").iterdir())
    assert len(studio._machines.desk.store.list_run(run.id)) == 1


def test_a_machine_that_vanishes_is_followed_up(studio: Studio, launch: Callable[..., tuple[Run, Any]]) -> None:
    """Taken away in the middle, the run goes on on another one from the last checkpoint that came home, and nobody is asked."""
    run, cloud = launch("runpod", max_steps=400, save_steps=4)
    wait_for(lambda: bool(run.checkpoints), "a checkpoint at home", timeout_s=200)
    [pod] = cloud.pods.values()
    cloud.preempt(pod)
    wait_for(lambda: "job_started" in told(run)[told(run).index("checkpoint") :], "a second machine", timeout_s=200)
    wait_for(lambda: len(read_metrics(run.folder.metrics)) > 8, "steps on it", timeout_s=200)
    run.stop(save=True)
    run.wait(timeout=200)
    assert run.state == "stopped"
    assert run.adapter.path.is_dir()
    assert run.read()[0].from_step >= 4
    wait_for(lambda: "machine_gone" in told(run), "the proof that it is gone", timeout_s=60)
    assert len(studio._machines.desk.store.list_run(run.id)) == 2
