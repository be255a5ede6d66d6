"""In a network namespace without routes everything local works, and offline nothing so much as tries to leave. The kernel counts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.speed import write_speed

ROOT = Path(__file__).resolve().parents[2]
ALONE = ["unshare", "--user", "--map-root-user", "--net"]


def work_without_network(home: Path, model: str, data: Path) -> dict[str, Any]:
    """What the studio did there."""
    if not shutil.which("unshare") or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody make a network namespace (unshare --user --net)")
    command = [*ALONE, sys.executable, "-m", "tests.e2e.without_network", str(home), model, str(data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    known: dict[str, Any] = json.loads(done.stdout)
    return known


def check(done: dict[str, Any]) -> None:
    """Local work is undiminished, the outbox keeps what waits, and only the one request that was asked for was tried."""
    assert (done["runs"], done["ready"], done["memory"]) == (0, True, True)
    assert done["tried_offline"] == []
    assert done["synced"] == "0 sent. 1 upload waits for the network."
    assert "no route: Network is unreachable" in done["synced_without_a_route"]
    assert "1 upload waits to be sent." in done["outbox"]
    # Those tries show that the counters count: they met no route. Nothing else was tried, and nothing has left.
    assert done["counters"].pop("Ip:OutNoRoutes") == done["tries"] >= 1
    assert set(done["counters"].values()) == {0}


@pytest.mark.slow
def test_the_studio_works_without_a_network(tmp_path: Path, tiny_model: Path, tiny_rows: Path) -> None:
    """Import, list runs, specify, check, quote, queue, sync."""
    check(work_without_network(write_speed(tmp_path / "home"), str(tiny_model), tiny_rows))


@pytest.mark.slow
@pytest.mark.stress
def test_the_embedded_model_needs_no_network(tmp_path: Path, tiny_rows: Path) -> None:
    """Unpacked, checked and estimated there; half a minute."""
    check(work_without_network(write_speed(tmp_path / "home"), "smollm2-135m", tiny_rows))
