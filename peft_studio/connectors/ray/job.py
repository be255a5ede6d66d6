"""What a run's Ray job is: it starts the boot script of rented machines in a folder of its own, says where its door is, and leaves nothing behind.

It travels as text beside the script and is never imported. Standard library only, Python 3.8 on. The boot script needs one free port,
which no other job of this node has; Ray's log of the job tells its owner which. Whatever ends this process (Ray's stop, a node that
leaves the cluster, the script's own brakes), a guard outside its process group kills what works in the folder and deletes it:
agent and trainer stand in sessions of their own, which Ray does not reach once their parents are gone.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PORTS = range(20000, 30000)  # not those that systems give to outgoing connections, nor Ray's workers (10002 to 19999)
TRIES = 200


def main() -> int:
    """Run the boot script until it ends, or somebody ends this job."""
    here = os.path.dirname(os.path.abspath(__file__))
    given = take_secrets(os.path.join(here, "secrets"))
    base = tempfile.mkdtemp(prefix="peft-studio-")
    guard(base)
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(0))
    leave = os.path.join(base, "end-job")
    with open(leave, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nkill -USR1 {os.getpid()}\n")
    os.chmod(leave, 0o700)
    if "held" in sys.argv:  # one of several nodes: who started us reads this line, and ends us by closing ours
        print(base, flush=True)
        hold()
    port = find_port()
    print(f"peft-studio: its door is on port {port}", flush=True)
    environment = {**os.environ, **given, "PS_DIR": base, "PEFT_STUDIO_PORT_8443": str(port)}
    environment.pop("PYTHONPATH", None)  # Ray puts its working folder there
    script = os.path.join(here, "boot.sh")
    return subprocess.Popen(["bash", script], cwd=base, env=environment, stdin=subprocess.DEVNULL).wait()


def take_secrets(path: str) -> dict[str, str]:
    """What opens the door, a line each; the file is gone afterwards."""
    with open(path, encoding="ascii") as file:
        lines = [line.split(" ", 1) for line in file.read().splitlines()]
    os.unlink(path)
    return dict(lines)


def drop_secrets() -> None:
    """Delete the file on a node that has no use for it: Ray puts all files of a job on each of its nodes."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(os.path.dirname(os.path.abspath(__file__)), "secrets"))


def hold() -> None:
    """End with whoever holds our standard input."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def find_port() -> int:
    """One on which nobody listens. Should somebody else be quicker, the door does not come to stand, and the job is replaced."""
    for port in random.sample(PORTS, TRIES):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    sys.exit(f"No free port among {TRIES} between {PORTS[0]} and {PORTS[-1]}.")


def guard(base: str) -> None:
    """Leave a process behind that outlives this one by a moment, whatever ends it, and cleans up."""
    watched, held = os.pipe()  # only we hold the writing end: programs do not inherit it
    if os.fork():
        os.close(watched)
        os.wait()
        globals()["held"] = held
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(held)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(watched, 1)  # returns once its other end is closed
    while kill_work(base):
        time.sleep(0.02)
    shutil.rmtree(base, ignore_errors=True)
    os._exit(0)


def kill_work(base: str) -> int:
    """Kill what has the folder in its environment or its command line; how many there were."""
    found, mark = 0, base.encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as one, open(f"/proc/{entry}/cmdline", "rb") as other:
                works = b"PS_DIR=" + mark in one.read() or mark in other.read()
            if works:
                os.kill(int(entry), signal.SIGKILL)
                with open(f"/proc/{entry}/stat", "rb") as file:
                    found += b") Z " not in file.read()
        except OSError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
