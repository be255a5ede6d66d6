"""Connectors that no thread can hold back, one thing each. Only ever imported where they can be ended: in processes of their own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.ports import Page, Query
from tests.unit.connectors.catalog import hostile
from tests.unit.connectors.catalog.hostile import MODEL, Good, make_info

HERE = "tests.unit.connectors.catalog.apart"


def hold_in_a_pattern() -> None:
    """One call into C that never gives the interpreter back."""
    re.match(r"(a|aa)+$", "a" * 200 + "b")


def hold_in_a_number() -> None:
    """The same, in arithmetic."""
    _ = 10 ** (10**10)


def eat() -> None:
    """Memory, a little at a time."""
    kept = []
    while True:
        kept.append(b"x" * 10_000_000)


def eat_at_once() -> None:
    """Memory, all of it."""
    _ = bytearray(10**13)


def eat_in_threads() -> None:
    """Memory, on threads that nobody waits for."""
    for _ in range(4):
        threading.Thread(target=eat, daemon=True).start()
    threading.Event().wait()


def crash() -> None:
    """Reads where nothing is."""
    ctypes.string_at(0)


def flood(fd: int) -> Callable[[], None]:
    """Prints without end, past Python's own streams, too."""

    def verb() -> None:
        while True:
            os.write(fd, b"flood " * 10_000 + b"\n")

    return verb


def flood_lines() -> None:
    """Prints without end, line by line."""
    while True:
        print("a line with planted-key")


def write_everywhere() -> None:
    """Into every file that is open, ours among them."""
    for fd in range(3, 64):
        try:
            os.write(fd, b"\xff" * 64)
        except OSError:
            continue
    time.sleep(60)


def stop() -> None:
    """As Ctrl-Z does."""
    os.kill(os.getpid(), signal.SIGSTOP)
    threading.Event().wait()  # other threads may go on for a moment


def loop_in_threads() -> None:
    """On threads that go on."""
    for _ in range(4):
        threading.Thread(target=hostile.loop, daemon=True).start()
    hostile.loop()


SEARCHES: dict[str, Callable[[], Any]] = {
    "holds-pattern": hold_in_a_pattern, "holds-number": hold_in_a_number, "eats": eat, "eats-at-once": eat_at_once,
    "eats-in-threads": eat_in_threads, "crashes": crash, "exits-hard": lambda: os._exit(3), "aborts": os.abort,
    "kills-itself": lambda: os.kill(os.getpid(), signal.SIGKILL), "floods-out": flood(1), "floods-err": flood(2), "floods-lines": flood_lines,
    "closes-all": lambda: os.closerange(0, 64), "writes-everywhere": write_everywhere, "stops": stop, "loops-in-threads": loop_in_threads,
}  # fmt: skip
CLASSES = {
    name: type(
        name, (Good,), {"info": make_info(name, connector=f"{HERE}:c_{name.replace('-', '_')}"), "search": lambda self, query, verb=verb: verb()}
    )
    for name, verb in SEARCHES.items()
}  # fmt: skip
UNLOADABLE: dict[str, Callable[[], object]] = {
    "load-crashes": crash, "load-exits-hard": lambda: os._exit(4), "load-holds": hold_in_a_pattern
}  # fmt: skip
HUNG = {
    "holds-pattern", "holds-number", "floods-out", "floods-err", "floods-lines", "stops", "loops-in-threads",
    "loops", "loops-stubbornly", "prints", "waits", "init-waits",
    "load-waits", "load-loops", "load-holds",
}  # fmt: skip
HUNG_OR_BROKEN = {"eats", "eats-in-threads", "closes-all", "writes-everywhere"}  # by when they are found out


class Leaves(Good):
    """Starts a program and a fork of itself, says which, and ends in the way that it is asked for: ``way path``."""

    info = make_info("leaves", connector=f"{HERE}:Leaves")
    WAYS: dict[str, Callable[[], Any]] = {  # noqa: RUF012
        "exits": lambda: os._exit(3), "is-killed": lambda: os.kill(os.getpid(), signal.SIGKILL), "crashes": crash,
        "stays": lambda: Page(models=(MODEL,)),
    }  # fmt: skip

    def search(self, query: Query) -> Page:
        way, path = query.text.split(" ", 1)
        program = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
        if (fork := os.fork()) == 0:
            threading.Event().wait()
        Path(path).write_text(f"{os.getpid()} {program.pid} {fork}")
        page: Page = self.WAYS[way]()
        return page


class Healthy(Good):
    """Does everything right, and shows what it was given."""

    info = make_info("healthy", connector=f"{HERE}:Healthy")

    def search(self, query: Query) -> Page:
        return Page(models=(MODEL,), next_cursor=query.text)


for _name, _cls in CLASSES.items():
    setattr(sys.modules[__name__], "c_" + _name.replace("-", "_"), _cls)


def __getattr__(name: str) -> object:
    """What an entry point may lead to: ``l_NAME`` does what that one does as it is loaded."""
    found = {"l_" + key.replace("-", "_"): verb for key, verb in (hostile.UNLOADABLE | UNLOADABLE).items()}
    if name not in found:
        raise AttributeError(name)
    return found[name]()


def source(name: str) -> Source:
    """One of them, or of the other hostile ones, as a package would bring it."""
    module = (
        HERE
        if name in CLASSES or name in UNLOADABLE or name in hostile.UNLOADABLE or name in ("healthy", "leaves")
        else hostile.HERE
    )
    what = {"healthy": "Healthy.info", "leaves": "Leaves.info", "good": "Good.info"}.get(name) or (
        f"l_{name.replace('-', '_')}" if name.startswith("load-") else f"c_{name.replace('-', '_')}.info"
    )
    return Source(name, "hostile", _not_here, f"{module}:{what}")


def _not_here() -> object:
    raise AssertionError("a third party's connector was imported into the kernel")


def hosts_of(*names: str) -> list[psutil.Process]:
    """The processes of this one in which connectors of these names live now."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # gone meanwhile
            if child.cmdline()[-2:-1] == ["peft_studio.connectors.catalog.hosted"] and child.cmdline()[-1] in names:
                found.append(child)
    return found
