"""A Ray cluster for tests: two nodes, each a process of this machine with one CPU, on ports and in a folder of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import wait_for
from tests.emulators.machine import free_port

RAY = Path(sys.executable).parent / "ray"
STARTS = 3
JOIN_S = 90.0  # a quiet machine takes 20
STORE_BYTES = 80_000_000  # the smallest that Ray takes is 75 MiB


class TooBusy(Exception):
    """Ray's own parts were too slow for each other, each time: a raylet gives its agents some seconds and dies."""


@dataclass
class Cluster:
    """``address``: of its dashboard."""

    address: str
    folder: Path
    nodes: list[subprocess.Popen[bytes]]

    def ask(self, path: str) -> Any:
        """What the dashboard says."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=10) as answer:
            return json.load(answer)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All jobs that were submitted, by id."""
        return {one["submission_id"]: one for one in self.ask("/api/jobs/") if one["submission_id"]}


@contextlib.contextmanager
def run_cluster() -> Iterator[Cluster]:
    """Start it, and end every process of it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # Ray's sockets need a short path
    gcs, dashboard = free_port(), free_port()
    head = [
        "--head",
        f"--port={gcs}",
        f"--dashboard-port={dashboard}",
        "--dashboard-host=127.0.0.1",
        f"--temp-dir={folder}/r",
    ]
    cluster = Cluster(f"http://127.0.0.1:{dashboard}", folder, [])
    try:
        _join(cluster, head)
        _join(cluster, [f"--address=127.0.0.1:{gcs}"])
        yield cluster
    finally:
        _end(cluster)


def _join(cluster: Cluster, options: list[str]) -> None:
    """Start one more node. One whose parts were too slow for each other, on a busy machine, ends itself or is never heard: it is started again."""
    due = len(cluster.nodes) + 1
    for _ in range(STARTS):
        before = _processes(cluster)
        node = _start_node(cluster.folder, options)
        cluster.nodes.append(node)
        with contextlib.suppress(AssertionError):
            wait_for(
                lambda node=node: node.poll() is not None or _living(cluster) == due, f"node {due} of the Ray cluster", timeout_s=JOIN_S
            )  # fmt: skip
            if node.poll() is None:
                return
        cluster.nodes.remove(node)
        _kill(_processes(cluster) - before)  # one that comes late would be one too many beside another
    raise TooBusy((cluster.folder / "nodes.log").read_text()[-2000:])


def _start_node(folder: Path, more: list[str]) -> subprocess.Popen[bytes]:
    """A node's own process, which ends with ``--block`` when it is asked to. Its jobs find this environment's Python first."""
    own = {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])), "HOME": str(folder), "TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "45", "RAY_agent_register_timeout_ms": "180000",
    }  # fmt: skip
    # A port that is given is not waited for: a raylet gives its agent fifteen seconds to find one, and dies.
    options = [
        "--block", "--num-cpus=1", "--num-gpus=0", f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats",
        "--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={free_port()}", f"--dashboard-agent-grpc-port={free_port()}",
        f"--metrics-export-port={free_port()}", f"--runtime-env-agent-port={free_port()}", "--min-worker-port=0", "--max-worker-port=0",
    ]  # fmt: skip
    with (folder / "nodes.log").open("ab") as log:
        return subprocess.Popen(
            [str(RAY), "start", *options, *more], env={**os.environ, **own}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


def _living(cluster: Cluster) -> int:
    try:
        nodes = cluster.ask("/nodes?view=summary")["data"]["summary"]
    except (OSError, urllib.error.URLError, ValueError):
        return 0
    return sum(node["raylet"].get("state") == "ALIVE" for node in nodes)


def _end(cluster: Cluster) -> None:
    """All its processes, its jobs' among them: they have its folder in their environment or command line."""
    for node in cluster.nodes:
        node.send_signal(signal.SIGTERM)
    for node in cluster.nodes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(5)
    _kill(_processes(cluster))
    shutil.rmtree(cluster.folder, ignore_errors=True)


def _processes(cluster: Cluster) -> set[psutil.Process]:
    return {process for process in psutil.process_iter() if _is_of(process, str(cluster.folder))}


def _kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(list(processes), timeout=10)


def _is_of(process: psutil.Process, folder: str) -> bool:
    try:
        return process.environ().get("HOME") == folder or any(folder in part for part in process.cmdline())
    except (psutil.Error, OSError):
        return False
