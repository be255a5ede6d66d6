"""This machine's speed: measured once by the runner in a few seconds, kept in the home, measured again when the machine changes."""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from peft_studio.core.compute import DeviceSpeed, find_gpu, gpu_speed
from peft_studio.core.compute.speed import DISTURBED, parse_speed
from peft_studio.core.device import find_device
from peft_studio.core.services.prepare import missing_train_modules, run_worker
from peft_studio.core.system import write_private

FILE = "device_speed.json"
VERSION = 1
BUSY = 0.25  # of the CPU taken by others while measuring: then the next process measures again
MEASURING = "Measuring how fast this machine trains: about twenty seconds, longer beside other work. It is done once."
_LOCK = threading.Lock()
_MEASURED: set[Path] = set()  # homes in which this process has measured
_KNOWN: dict[Path, tuple[int, DeviceSpeed]] = {}


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
        return None
    known = _KNOWN.get(path)
    if known and known[0] == changed_ns:
        return known[1]
    found = _read(path)
    if found:
        _KNOWN[path] = (changed_ns, found)
    return found


def ensure_speed(home: Path, say: Callable[[str], None] = lambda text: None) -> DeviceSpeed | None:
    """The speed of this machine, measured now (about twenty seconds, in a process of its own) if it is not known; None where it cannot be.

    ``say`` is told before it begins. A measurement that others disturbed is used, and made again by the next process that asks. A second
    call at the same time waits for the first.
    """
    with _LOCK:
        found = find_speed(home)
        known = found is not None and (not found.disturbed or home in _MEASURED)
        if known or find_device().kind == "cuda" or missing_train_modules():
            return found
        say(MEASURING)
        return _measure(home)


def forget_speed(home: Path) -> None:
    """Measure anew next time."""
    (home / FILE).unlink(missing_ok=True)


def _measure(home: Path) -> DeviceSpeed | None:
    before, began = psutil.cpu_times(), datetime.now(UTC)
    answer = run_worker(["measure-speed", "--home", str(home)], lambda text: None)
    if "speed" not in answer:
        return find_speed(home)
    _MEASURED.add(home)
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
    before_it = _load(home / FILE)
    # Whatever disturbs makes times longer, so of two disturbed measurements the quicker is nearer to the truth.
    if before_it and busy > BUSY and _reference_s(before_it) < _reference_s(record):
        return _parse(before_it)
    write_private(home / FILE, json.dumps(record, indent=2) + "\n")
    return _parse(record)


def _reference_s(record: dict[str, Any]) -> float:
    """Seconds of starting, and of a hundred passes through a layer of ten million operations and a megabyte, by every loop."""
    passes = sum(one["layer_s"] + 1e7 * one["s_per_flop"] + 1e6 * one["s_per_byte"] for one in record["loops"])
    return float(record["imports_s"] + 100 * passes)


def _read(path: Path) -> DeviceSpeed | None:
    record = _load(path)
    return _parse(record) if record else None


def _load(path: Path) -> dict[str, Any] | None:
    """A measurement of this machine that this version can use; None where there is none."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["version"] != VERSION or record["machine"] != machine_identity():
            return None
        _parse(record)
        _reference_s(record)
        return record
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(record: dict[str, Any]) -> DeviceSpeed:
    basis = f"measured here on {datetime.fromtimestamp(record['at'], UTC):%d %b %Y}"
    speed = parse_speed(record, name=machine_name(), basis=basis)
    if record["busy"] <= BUSY:
        return speed
    share = f"{record['busy']:.0%}".replace("%", " %")
    return replace(
        speed, basis=f"{basis} while others took {share} of it, so the range is wide", disturbed=True, spread=DISTURBED
    )


def _used(times: Any) -> float:
    return float(times.user + times.system)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return " ".join((named or platform.processor() or platform.machine()).split())
