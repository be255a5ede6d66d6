"""This machine's speed: measured once by the runner in a few seconds, kept in the home, measured again when the machine changes."""

from __future__ import annotations

import json
import os
import platform
import threading
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from peft_studio.core.compute import DeviceSpeed, find_gpu, gpu_speed
from peft_studio.core.compute.speed import parse_speed
from peft_studio.core.device import find_device
from peft_studio.core.services.prepare import missing_train_modules, run_worker
from peft_studio.core.system import write_private

FILE = "device_speed.json"
VERSION = 1
BUSY = 0.25  # of the CPU taken by others while measuring: then it is measured again another time
_LOCK = threading.Lock()
_KNOWN: dict[Path, tuple[int, DeviceSpeed]] = {}
_DISTURBED: dict[
    Path, DeviceSpeed
] = {}  # measured while others used the machine: good enough for this process, not to be kept


@cache
def machine_identity() -> dict[str, Any]:
    """What a measurement holds for: another CPU, thread count or torch is another machine."""
    try:
        torch: str | None = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = None
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "threads": int(threads) if threads.isdigit() else cores,
        "torch": torch,
    }


def machine_name() -> str:
    """``AMD EPYC, 2 cores``."""
    found = machine_identity()
    count = min(found["threads"], found["cores"])
    return f"{found['cpu']}, {count} core{'s' if count != 1 else ''}"


def find_speed(home: Path) -> DeviceSpeed | None:
    """The speed of this machine's device as far as it is known without measuring: a GPU's by its data sheet, a CPU's from the home."""
    device = find_device()
    if device.kind == "cuda":
        gpu = find_gpu(device.name)
        return gpu_speed(gpu) if gpu else None
    path = home / FILE
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError:
        return _DISTURBED.get(path)
    known = _KNOWN.get(path)
    if known and known[0] == changed_ns:
        return known[1]
    found = _read(path)
    if found:
        _KNOWN[path] = (changed_ns, found)
    return found


def ensure_speed(home: Path) -> DeviceSpeed | None:
    """The speed of this machine, measured now (about ten seconds, in a process of its own) if it is not known; None where it cannot be.

    A second call at the same time waits for the first.
    """
    with _LOCK:
        found = find_speed(home)
        if found is not None or find_device().kind == "cuda" or missing_train_modules():
            return found
        return _measure(home)


def forget_speed(home: Path) -> None:
    """Measure anew next time."""
    (home / FILE).unlink(missing_ok=True)
    _DISTURBED.pop(home / FILE, None)


def _measure(home: Path) -> DeviceSpeed | None:
    before, began = psutil.cpu_times(), datetime.now(UTC)
    answer = run_worker(["measure-speed", "--home", str(home)], lambda text: None)
    if "speed" not in answer:
        return None
    seconds = (datetime.now(UTC) - began).total_seconds()
    used = _used(psutil.cpu_times()) - _used(before) - float(answer["speed"].pop("cpu_s", 0.0))
    busy = used / (seconds * (os.cpu_count() or 1)) if seconds else 0.0
    record = {
        "version": VERSION,
        "machine": machine_identity(),
        "at": began.timestamp(),
        "busy": busy,
        **answer["speed"],
    }
    found = _parse(record)
    if busy <= BUSY:
        write_private(home / FILE, json.dumps(record, indent=2) + "\n")
    else:
        _DISTURBED[home / FILE] = found
    return found


def _read(path: Path) -> DeviceSpeed | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        same = record["version"] == VERSION and record["machine"] == machine_identity()
        return _parse(record) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(record: dict[str, Any]) -> DeviceSpeed:
    when = f"{datetime.fromtimestamp(record['at'], UTC):%d %b %Y}"
    basis = f"measured here on {when}"
    if record["busy"] > BUSY:
        basis += f", while others took {record['busy']:.0%} of it, so it is measured again next time".replace("%", " %")
    return parse_speed(record, name=machine_name(), basis=basis)


def _used(times: Any) -> float:
    return float(times.user + times.system)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return " ".join((named or platform.processor() or platform.machine()).split())
