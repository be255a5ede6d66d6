"""Runs on a real Ray cluster of two nodes: launch, stream, fetch; two at once, one a node; stopped; its client killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.services.rent.limits import LAG_VARIABLE
from tests.ray_cluster import RAY, Cluster, run_cluster

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not RAY.exists(), reason="needs ray")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster() as made:
        yield made


@pytest.fixture
def connected(studio: Studio, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A studio that knows the cluster."""
    monkeypatch.setenv(LAG_VARIABLE, "1")
    studio.connect("ray", address=cluster.address)
    return studio


def test_a_run_like_any_other(
    connected: Studio, make_spec: Callable[..., Any], cluster: Cluster, tmp_path: Path
) -> None:
    """Launched by the cluster's name it trains there, and everything of it is here when it has ended."""
    run = connected.launch(make_spec(), compute="ray")
    run.wait(timeout=240)
    assert (run.state, run.provider) == ("completed", "ray")
    assert len(run.metrics()) == 6
    assert run.adapter.path.is_dir()
