"""What of the studio has to work without a network, in a process that watches itself: ``python -m tests.e2e.without_network HOME MODEL DATA``.

Prints one JSON object: what was done, and every address that anything in this process tried to reach or to look up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

tried: list[str] = []
NETWORK = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"}


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event in NETWORK and not isinstance(args[1] if event == "socket.connect" else "", str):
        tried.append(f"{event} {args[1:]}")


sys.addaudithook(_watch)


def main(home: str, model: str, data: str) -> None:
    """Import, list, specify, check, quote; queue, sync offline by hand, sync online without a route, and go on."""
    from peft_studio import Studio
    from peft_studio.core.offline.sender import SendLater

    class NoRoute:
        """A connector that meets a network without routes."""

        idempotent, reads_back = True, False
        tries = 0

        def send(self, entry: Any) -> str | None:
            import socket

            NoRoute.tries += 1
            try:
                socket.create_connection(("192.0.2.1", 443), timeout=5).close()
            except OSError as exc:
                raise SendLater(f"no route: {exc.strerror}", unreachable=True) from exc
            return "sent"

        def read_back(self, entry: Any) -> bool:
            return False

    class OfflineStudio(Studio):
        """The studio, with a key and a connector of this test."""

        def _data_keys(self, purpose: str) -> list[bytes]:
            return [bytes(32)]

        def _find_sender(self, target: str) -> NoRoute:
            return NoRoute()

        def _probes(self) -> list[Any]:
            return []

    studio = OfflineStudio(home=home)
    studio.offline = "on a plane"
    spec = studio.spec(model=model, data=data, max_steps=1, max_length=64)
    done: dict[str, Any] = {
        "runs": len(studio.runs()),
        "ready": studio.check(spec).ready,
        "memory": studio.quote(spec, measure=False).memory.value > 0,
    }
    studio._queue("hub:me/adapter", "upload", {"path": "x"}, id="e1")
    done["synced"] = repr(studio.sync())
    done["tried_offline"] = list(tried)
    studio.offline = False
    done["synced_without_a_route"] = repr(studio.sync())
    done["outbox"] = repr(studio.outbox)
    done["counters"], done["tries"] = _counters(), NoRoute.tries
    print(json.dumps(done))


def _counters() -> dict[str, int]:
    """What the kernel has counted in this network namespace."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    known: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        head, *fields = names.split()
        known |= {f"{head}{field}": int(value) for field, value in zip(fields, values.split()[1:], strict=True)}
    wanted = ("Ip:OutRequests", "Ip:OutNoRoutes", "Tcp:ActiveOpens", "Tcp:OutSegs", "Udp:OutDatagrams", "Icmp:OutMsgs")
    return {name: known[name] for name in wanted}


if __name__ == "__main__":
    main(*sys.argv[1:4])
