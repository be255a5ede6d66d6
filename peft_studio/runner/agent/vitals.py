"""What the machine and the trainer's processes use, sampled from outside the trainer. GPU figures come from ``nvidia-smi`` where it exists."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import psutil

from peft_studio.core.system import free_memory_bytes

SAMPLE_S = 2.0
_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class Vitals:
    """Samples the trees of these processes together."""

    def __init__(self, *pids: int) -> None:
        self._roots: list[psutil.Process] = []
        for pid in pids:  # one of several may have died while the others were being started
            with contextlib.suppress(psutil.NoSuchProcess):
                self._roots.append(psutil.Process(pid))
        self._seen: dict[int, psutil.Process] = {}
        self._nvidia = shutil.which("nvidia-smi")
        self.peak_rss_bytes = self.io_bytes = 0

    def sample(self) -> dict[str, float]:
        """Figures by name: ``cpu_percent`` (100 is one core), ``rss_bytes``, ``memory_free_bytes``; with a GPU also its use and memory."""
        cpu, rss, moved = 0.0, 0.0, 0
        for process in self._family():
            try:
                cpu += process.cpu_percent()
                rss += process.memory_info().rss
                moved += _moved_bytes(process)
            except psutil.NoSuchProcess:
                continue
        self.io_bytes = moved
        self.peak_rss_bytes = max(self.peak_rss_bytes, int(rss))
        found = {"cpu_percent": cpu, "rss_bytes": rss, "memory_free_bytes": float(free_memory_bytes())}
        return found | (self._gpu() if self._nvidia else {})

    def all_stopped(self) -> bool:
        """Whether somebody has stopped these processes, or looks at them with a debugger."""
        try:
            return bool(self._roots) and all(root.status() in _STOPPED for root in self._roots)
        except psutil.NoSuchProcess:
            return False

    def _family(self) -> list[psutil.Process]:
        family = []
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                family += [root, *root.children(recursive=True)]
        # cpu_percent() measures since its last call on the same object, so objects are kept.
        self._seen = {process.pid: self._seen.get(process.pid, process) for process in family}
        return list(self._seen.values())

    def _gpu(self) -> dict[str, float]:
        query = ["--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"]
        try:
            out = subprocess.run(
                [self._nvidia or "", *query], capture_output=True, text=True, timeout=5, check=True
            ).stdout
            cells = [[float(cell) for cell in line.split(",")] for line in out.splitlines()]
        except (OSError, subprocess.SubprocessError, ValueError):
            return {}
        if not cells:
            return {}
        mib = 2**20
        return {
            "gpu_percent": max(row[0] for row in cells),
            "gpu_memory_bytes": sum(row[1] for row in cells) * mib,
            "gpu_memory_total_bytes": sum(row[2] for row in cells) * mib,
        }


def _moved_bytes(process: psutil.Process) -> int:
    """Read and written by a process so far, from and to whatever; 0 where the system does not say."""
    try:
        io = process.io_counters()
    except (psutil.AccessDenied, AttributeError):
        return 0
    return int(getattr(io, "read_chars", io.read_bytes) + getattr(io, "write_chars", io.write_bytes))
