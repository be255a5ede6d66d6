"""Runs on a real Ray cluster of two nodes: launch, stream, fetch; two at once, one a node; a third in line; stopped; its client killed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from peft_studio.core.errors import RunFailed
from peft_studio.core.runs.log import read_events
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from peft_studio.core.services.run import Run
from peft_studio.core.system import is_locked
from tests.conftest import processes_of, wait_for
from tests.ray_cluster import RAY, Cluster, TooBusy, run_cluster

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not RAY.exists(), reason="needs ray")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(run_cluster())
        except TooBusy as exc:
            pytest.skip(f"this machine is too busy for a Ray cluster to start: {exc}")
        yield made


@pytest.fixture
def connected(studio: Studio, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A studio that knows the cluster, on which nothing is left of another test."""
    monkeypatch.setenv(LAG_VARIABLE, "1")
    studio.connect("ray", address=cluster.address)
    wait_for(lambda: not live(cluster), "an empty cluster")
    return studio


def live(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Jobs that have not ended, by the id of their run."""
    jobs = {label: job for label, job in cluster.jobs().items() if job["status"] in ("PENDING", "RUNNING")}
    return {label.split("-", 2)[2].rsplit("-", 2)[0]: job for label, job in jobs.items()}


def steps(run: Run) -> int:
    """How far it is, by the numbers that have come home."""
    return len(run.metrics())


def test_two_at_once_a_third_waits_and_the_client_dies(
    connected: Studio, make_spec: Callable[..., Any], cluster: Cluster, tiny_model: Any
) -> None:
    """Each node has one; the third is stopped before its turn; one is stopped and saved; the other outlives a kill -9 of all that followed it."""
    free = [("ray", "2 of 2 CPU nodes free", 0)]  # what is free it says some seconds late
    wait_for(lambda: [(one.provider, one.region, one.usd_per_hour) for one in connected.offers()] == free, "two places")
    assert "ray" in repr(connected.quotes(make_spec(), measure=False))

    stopped, finishing, waiting = (
        connected.launch(make_spec(max_steps=count, save_steps=50), compute="ray") for count in (5000, 400, 6)
    )
    wait_for(lambda: steps(stopped) and steps(finishing), "two that train", timeout_s=200)
    there = live(cluster)
    assert {there[run.id]["status"] for run in (stopped, finishing)} == {"RUNNING"}
    assert there[stopped.id]["driver_node_id"] != there[finishing.id]["driver_node_id"]
    assert there[waiting.id]["status"] == "PENDING"
    wait_for(lambda: waiting.read()[0].detail == "waiting for the cluster", "the line to be shown")
    waiting.stop()
    waiting.wait(timeout=60)
    assert waiting.state == "stopped"

    followers = processes_of(connected.home)
    assert followers
    for process in followers:
        process.kill()
    psutil.wait_procs(followers, timeout=30)  # their locks go last
    other = Studio(home=connected.home)
    again = other.run(finishing.id)
    wait_for(lambda: is_locked(again.folder.agent_lock), "somebody who follows it again")
    again.wait(timeout=200)
    assert (again.state, again.provider, steps(again)) == ("completed", "ray", 400)
    assert [event.seq for event in read_events(again.folder.events)] == list(
        range(1, len(read_events(again.folder.events)) + 1)
    )
    assert sum(label.split("-", 2)[2].startswith(finishing.id) for label in cluster.jobs()) == 1

    other.run(stopped.id).stop(save=True)
    stopped.wait(timeout=100)
    assert (stopped.state, stopped.adapter.path.is_dir()) == ("stopped", True)
    with connected.chat(str(tiny_model), adapters={"a": again.adapter}) as chat:
        assert chat.ask("Please send 3 lamps to Oslo.", adapter="a", max_new_tokens=4).tokens
    wait_for(lambda: not live(cluster), "the jobs to be gone")
    wait_for(lambda: not list(cluster.folder.glob("peft-studio-*")), "their folders to be gone")


@pytest.mark.stress
def test_one_run_over_both_nodes(connected: Studio, make_spec: Callable[..., Any], cluster: Cluster) -> None:
    """The losses of one process; when the second node's process is killed that is said, nobody hangs, and the run goes on from its checkpoint."""
    spec = make_spec(
        processes=2, dropout=0.0, max_steps=300, save_steps=20, probe=False, lr_scheduler="constant", warmup_ratio=0.0
    )
    one = connected.launch(spec.replace(processes=1, max_steps=20)).wait(300)
    run = connected.launch(spec, compute="ray")
    wait_for(lambda: steps(run) >= 30, "steps on both nodes", timeout_s=300)
    mine, theirs = (found.metrics().set_index("step").loss.iloc[:10].tolist() for found in (one, run))
    assert theirs == pytest.approx(mine, rel=1e-4)
    [mate] = [process for process in psutil.process_iter() if is_mate(process)]
    mate.kill()
    with pytest.raises(RunFailed):
        run.wait(timeout=200)
    wait_for(lambda: not live(cluster), "the job to be gone")
    run.resume()
    wait_for(lambda: run.state != "failed", "another job in line")
    run.wait(timeout=300)
    assert (run.state, steps(run)) == ("completed", 300)
    assert run.read()[0].from_step >= 20


def is_mate(process: psutil.Process) -> bool:
    """Whether it is the trainer with rank 1, on the second node."""
    try:
        return "train" in process.cmdline() and process.environ().get("GROUP_RANK") == "1"
    except (psutil.Error, OSError):
        return False
