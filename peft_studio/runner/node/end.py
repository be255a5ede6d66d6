"""Ends this machine, once: asks the provider with the key of this machine alone; where that is no way, ends all work on it.

Both brakes run it, each as a process of its own, again and again. It uses no file, and has no single quote in it, so that the boot
script can hold it in memory: a full disk must not keep a machine alive. Standard library only, Python 3.8 on.

PS_END_METHOD, PS_END_URL    the request that ends this machine; no URL where the provider has none; its key comes on standard input
PS_END_TRY                   how often this was tried before
PS_WORK                      the folder of runs: what has it in its command line is work
Exit status 0: the provider took it, or knows no such machine any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Iterator  # noqa: UP035  Python 3.8

TIMEOUT_S = 20.0
TRIES = 3  # that the provider does not take before the work is ended: from then on nobody computes for nothing


def authorities() -> Iterator[ssl.SSLContext]:
    """Who vouches for the provider: the system, and where an image has no certificates, those that pip brings along."""
    yield ssl.create_default_context()
    with contextlib.suppress(ImportError, OSError):
        from pip._vendor import certifi

        yield ssl.create_default_context(cafile=certifi.where())


def ask(context: ssl.SSLContext, key: str) -> int:
    """Send the request; return the status of its answer."""
    headers = {"Authorization": "Bearer " + key, "User-Agent": "peft-studio-node"}
    address, method = os.environ["PS_END_URL"], os.environ["PS_END_METHOD"]
    request = urllib.request.Request(address, method=method, headers=headers)  # noqa: S310  a connector wrote it
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def end_work() -> None:
    """Kill what works in the runs folder, frozen or not."""
    work = os.environ["PS_WORK"].encode()
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{int(entry)}/cmdline", "rb") as file:
                works = work in file.read()
            if works and int(entry) != os.getpid():
                os.kill(int(entry), signal.SIGKILL)


def main() -> int:
    """Do what can be done; say in one line what came of it."""
    key, said = sys.stdin.read(), "this provider lets no machine end itself"
    for context in authorities() if os.environ.get("PS_END_URL") else ():
        try:
            status = ask(context, key)
        except (OSError, ValueError) as exc:
            said = f"the provider was not reached: {exc}"
            continue
        said = f"the provider answered {status}"
        if status < 300 or status in (404, 410):
            print("asked for the end of this machine:", said, flush=True)
            return 0
        break
    if not os.environ.get("PS_END_URL") or int(os.environ.get("PS_END_TRY", "0")) >= TRIES:
        end_work()
        said += "; all work on it is ended, and it is still paid for until its owner ends it"
    print("could not end this machine:", said, flush=True)
    if not os.environ.get("PS_END_URL") and os.environ.get("PS_SHUTDOWN"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(os.environ["PS_SHUTDOWN"].split(), timeout=TIMEOUT_S, check=False)
    return 1


if __name__ == "__main__":
    sys.exit(main())
