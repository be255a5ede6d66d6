"""``peft-studio doctor``: what is here, what is missing, and what to do about it. Says no secret and no environment variable."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from peft_studio import __version__
from peft_studio._studio import Studio
from peft_studio.cli.figures import duration, file_size, gib
from peft_studio.cli.lab import get_way
from peft_studio.cli.terminal import Line, Terminal
from peft_studio.core.device import find_device
from peft_studio.core.models import find_prepared
from peft_studio.core.models.catalog import EMBEDDED
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.state import LIVE
from peft_studio.core.services.prepare import missing_train_modules
from peft_studio.core.services.rentals import say_alarm
from peft_studio.core.system import free_memory_bytes, is_locked
from peft_studio.widgets._text import plain

PYTHONS = ((3, 11), (3, 13))
PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "tokenizers")
LEAST_MEMORY_BYTES = 3 * 2**30  # the quickstart's run takes about 2 GiB, and something has to be left
LEAST_DISK_BYTES = 3 * 10**9  # the quickstart's model, checkpoints and adapter, with room for one more
RUNS = 200  # of the newest that are looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. ``fix`` is what to do about it; ``blocking`` when nothing trains before it is done."""

    name: str
    text: str
    fix: str = ""
    blocking: bool = False


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Say everything that was found; status 1 when something has to be done before a run can start."""
    findings = list(examine(Studio(home=arguments.home), terminal))
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        word, role = ("problem", "error") if finding.blocking else ("note", "warn") if finding.fix else ("ok", "ok")
        head: Line = [(f"{word:<7}", role), (f"  {finding.name:<{width}}  ", "")]
        terminal.beside(head, finding.text)
        if finding.fix:
            terminal.beside([(" " * (width + 11), "")], f"→ {finding.fix}")
    blocking = sum(finding.blocking for finding in findings)
    terminal.say()
    terminal.say(
        "Ready to train."
        if not blocking
        else f"{blocking} {'problem' if blocking == 1 else 'problems'} to solve first."
    )
    return 1 if blocking else 0


def examine(studio: Studio, terminal: Terminal) -> Iterator[Finding]:
    """All findings, installation first, then machine, then this home."""
    yield from _installation()
    yield from _machine(studio)
    yield from _models(studio)
    yield from _runs(studio, terminal)
    yield from _rentals(studio, terminal)


def _installation() -> Iterator[Finding]:
    version = sys.version_info[:2]
    fits = PYTHONS[0] <= version <= PYTHONS[1]
    fix = "" if fits else "Make a virtual environment with Python 3.11, 3.12 or 3.13."
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", fix, not fits)
    yield Finding("PEFT Studio", __version__)
    if missing := missing_train_modules():
        yield Finding(
            "training", f"not installed: {', '.join(missing)} missing", "pip install 'peft-studio[train]'", True
        )
    else:
        yield Finding("training", ", ".join(f"{name} {_version(name)}" for name in PACKAGES if _version(name)))
    if importlib.util.find_spec("jupyterlab") is None:
        yield Finding(
            "notebook",
            "JupyterLab is not installed here",
            f"{get_way()}, if you want the panels",
        )
    else:
        yield Finding("notebook", f"jupyterlab {_version('jupyterlab')}, anywidget {_version('anywidget')}")


def _machine(studio: Studio) -> Iterator[Finding]:
    device = find_device()
    bf16 = "multiplies bfloat16 in hardware" if device.bf16 else "has no bfloat16 arithmetic, so fp32 is used"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu_build = device.kind == "cuda" and "+cpu" in (_version("torch") or "")
    fix = (
        "This torch is a build for CPUs; install one for CUDA to use the GPU (pytorch.org says which)."
        if cpu_build
        else ""
    )
    yield Finding(
        "device", f"{device.name}, {cores} cores; {bf16}" if device.kind == "cpu" else f"{device.name}; {bf16}", fix
    )
    free, total = free_memory_bytes(), psutil.virtual_memory().total
    short = free < LEAST_MEMORY_BYTES
    yield Finding(
        "memory",
        f"{gib(free)} of {gib(total)} free",
        "Close something; a run of the quickstart takes about 2 GiB." if short else "",
    )
    disk = shutil.disk_usage(studio.home)
    short = disk.free < LEAST_DISK_BYTES
    yield Finding(
        "disk",
        f"{file_size(disk.free)} free in the home",
        "Free some space, or choose another --home." if short else "",
    )
    writable = os.access(studio.home, os.W_OK)
    yield Finding(
        "home",
        str(studio.home),
        "" if writable else "This folder cannot be written to: choose another --home.",
        not writable,
    )


def _models(studio: Studio) -> Iterator[Finding]:
    for name, model in EMBEDDED.items():
        if find_prepared(name, studio.home):
            yield Finding(name, "prepared")
        elif importlib.util.find_spec(model.module):
            yield Finding(name, "installed; converted on first use, which takes about half a minute")
        else:
            yield Finding(name, "not installed (it needs no network afterwards)", model.install)


def _runs(studio: Studio, terminal: Terminal) -> Iterator[Finding]:
    rows = studio.runs(limit=RUNS).rows
    yield Finding("runs", f"{len(rows)}{' or more' if len(rows) == RUNS else ''} in this home")
    for row in rows:
        folder = RunFolder(Path(studio.home) / "runs" / row.id)
        if row.state == "lost":
            yield Finding(
                row.id, f"lost: {_what(row.name)}its agent ended without a word", terminal.command("resume", row.id)
            )
        elif row.state in LIVE and is_locked(folder.agent_lock):
            yield Finding(
                "run", f"{row.id} {_what(row.name)}is {row.state}; its agent is alive, heard {_heard(folder)}"
            )


def _rentals(studio: Studio, terminal: Terminal) -> Iterator[Finding]:
    listed = studio.rentals()
    if listed:
        rates = [row.usd_per_hour for row in listed if row.usd_per_hour is not None]
        yield Finding("rentals", f"{len(listed)} there, ${sum(rates):.2f} an hour")
    for alarm in listed.alarms:
        yield Finding("rentals", plain(say_alarm(alarm)), terminal.command("rentals"))


def _heard(folder: RunFolder) -> str:
    try:
        return f"{duration(time.time() - folder.heartbeat.stat().st_mtime)} ago"
    except FileNotFoundError:
        return "not yet"


def _what(name: str) -> str:
    return f"({plain(name, limit=60)}) " if name else ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
