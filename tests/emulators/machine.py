"""A rented machine that is a real process: a command in a folder of its own, with the environment that it was given and nothing of ours.

What listens on it finds its port in ``PEFT_STUDIO_PORT_<port>``: all emulated machines share this one's loopback, so each port that
was asked for stands on a free one. Knows no provider.

    machine = Machine(tmp_path / "pod-1", ["bash", "-c", script], env={"TOKEN": "…"}, ports=(8080,))
    machine.ports[8080]      # where it is reached: 127.0.0.1:this
    machine.lines            # what it printed, each with its time
    machine.end()            # all its processes are gone when this returns
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

MARK = "EMULATED_MACHINE"  # in the environment of every process of a machine, also of those that left its group
LONGEST_END_S = 10.0
BOOT = "PEFT_STUDIO_BOOT"  # where the boot script travels at RunPod, and at Vast.ai, packed
_ours = itertools.count()


@dataclass(frozen=True)
class Line:
    """What it printed, on either stream. No two lines of a machine have the same time, so that a time can be a cursor."""

    at: datetime
    text: str


class Machine:
    """Starts at once. ``env`` comes on top of PATH, HOME, TMPDIR and LANG; HOME is ``folder``, which is made."""

    def __init__(
        self, folder: Path, command: Sequence[str], *, env: Mapping[str, str] | None = None, ports: Sequence[int] = ()
    ) -> None:
        self.folder = folder
        self.ports = {port: free_port() for port in ports}
        self.lines: list[Line] = []
        self.mark = f"{os.getpid()}-{next(_ours)}-{uuid.uuid4().hex[:8]}"
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            list(command), cwd=folder, env=self._environment(env or {}), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the command."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Of the command; None while it runs."""
        return self._process.poll()

    @property
    def processes(self) -> list[psutil.Process]:
        """Everything that the command started and that still lives, also what left its process group."""
        return [process for process in psutil.process_iter() if _environ(process).get(MARK) == self.mark]

    @property
    def text(self) -> str:
        """All it printed."""
        return "".join(f"{line.text}\n" for line in self.lines)

    def answers(self, port: int) -> bool:
        """Whether somebody listens on a port of it."""
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.ports[port])) == 0

    def freeze(self) -> None:
        """Stop all its processes where they stand, as a host does that hangs."""
        self._each(psutil.Process.suspend)

    def thaw(self) -> None:
        """Let them go on."""
        self._each(psutil.Process.resume)

    def end(self) -> None:
        """Switch it off: nothing of it gets a word in. Again is nothing; its folder stays for the test to look at."""
        deadline = time.monotonic() + LONGEST_END_S
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(LONGEST_END_S)  # first: whoever else waits for our child takes its exit code away
        while left := self.processes:  # again: one may have started another meanwhile
            for process in left:
                _quietly(process.kill)
            psutil.wait_procs(left, timeout=0.5)
            assert time.monotonic() < deadline, f"processes of {self.folder.name} live on: {left}"
        self._reader.join(LONGEST_END_S)

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        ports = {f"PEFT_STUDIO_PORT_{port}": str(here) for port, here in self.ports.items()}
        own = {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
            "HOME": str(self.folder), "TMPDIR": str(self.folder / "tmp"), "LANG": "C.UTF-8", MARK: self.mark,
        }  # fmt: skip
        return {**own, **ports, **given}

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for raw in stream:
                at = datetime.now(UTC)
                if self.lines and at <= self.lines[-1].at:
                    at = self.lines[-1].at + timedelta(microseconds=1)
                self.lines.append(Line(at, raw.decode("utf-8", "replace").rstrip("\r\n")))

    def _each(self, act: Callable[[psutil.Process], Any]) -> None:
        for process in self.processes:
            _quietly(lambda process=process: act(process))  # type: ignore[misc]


class Machines:
    """Those of one emulator, in folders under one root. Leaving the block ends all of them.

    Attributes:
        prepare: Told of each machine's folder before it starts there.
        environment: What every machine finds in its environment besides.
        settings: Of the boot script, such as ``PS_LEASE_S``: to be these on every machine that is still to start.
        reached_at: Where a port of loopback on which a machine listens is reached from outside.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: dict[str, Machine] = {}
        self.prepare: Callable[[Path], Any] | None = None
        self.environment: dict[str, str] = {}
        self.settings: dict[str, str] = {}
        self.reached_at: Callable[[int], int] = lambda port: port

    def start(self, name: str, command: Sequence[str], **given: Any) -> Machine:
        """A machine in ``root/name``; see :class:`Machine`. One of that name that was ended starts anew in the same folder."""
        self.end(name)
        env = resettle({**(given.pop("env", None) or {}), **self.environment}, self.settings)
        if self.prepare:
            self.prepare(self.root / name)
        self.made[name] = Machine(self.root / name, command, env=env, **given)
        return self.made[name]

    def end(self, name: str) -> None:
        """End one, if there is one."""
        if name in self.made:
            self.made.pop(name).end()

    def __iter__(self) -> Iterator[Machine]:
        return iter(list(self.made.values()))

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *exc: object) -> None:
        for name in list(self.made):
            self.end(name)


def resettle(env: dict[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """An environment whose boot script has other settings."""
    if not settings or BOOT not in env:
        return env
    found = base64.b64decode(env[BOOT])
    packed = found.startswith(b"\x1f\x8b")
    script = settle((gzip.decompress(found) if packed else found).decode(), settings).encode()
    return {**env, BOOT: base64.b64encode(gzip.compress(script) if packed else script).decode()}


def settle(script: str, settings: Mapping[str, str]) -> str:
    """A boot script with other settings; each must be one that it has."""
    for name, value in settings.items():
        script, found = re.subn(rf"^{name}=.*$", f"{name}={value}", script, count=1, flags=re.MULTILINE)
        assert found, f"the boot script has no {name}"
    return script


def free_port() -> int:
    """A port of loopback on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environ(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _quietly(act: Callable[[], Any]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        act()
