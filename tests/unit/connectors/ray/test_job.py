"""What a Ray job keeps from whoever looks into its folder."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from peft_studio.connectors.ray.api import FILES


@pytest.mark.parametrize("times", [1, 2])
def test_a_node_that_has_no_use_for_what_opens_the_door_does_not_keep_it(tmp_path: Path, times: int) -> None:
    """Every node of a job gets all its files; where the leader was there before, there is nothing left."""
    for path in FILES.values():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "secrets").write_text("PS_TOKEN abc\n")
    job = runpy.run_path(str(tmp_path / "job.py"))
    for _ in range(times):
        job["drop_secrets"]()
    assert not (tmp_path / "secrets").exists()
    assert (tmp_path / "job.py").exists()


@pytest.mark.parametrize("name", ["mate.py", "together.py"])
def test_all_but_the_leader_drop_it(name: str) -> None:
    """The leader takes it; the driver and every other node have no use for it."""
    assert "    job.drop_secrets()" in FILES[name].read_text()
