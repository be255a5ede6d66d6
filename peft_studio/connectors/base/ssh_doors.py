"""Doors of machines that only SSH leads to: one tunnel a machine, kept as long as it stands, and secrets brought where they are missing.

Knows no provider, and not what a door says.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from peft_studio.connectors.base.ssh import SshHome, SshWay
from peft_studio.connectors.base.tunnel import Tunnel
from peft_studio.core.ports.rental import Ssh
from peft_studio.core.redact import Secret


class SshDoors:
    """Those of a home's machines, in this process. Threads may share one; machines do not wait for each other."""

    def __init__(self, keys: SshHome) -> None:
        self._keys = keys
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._open: dict[str, tuple[Ssh, int, Tunnel]] = {}

    def find_address(self, label: str, ssh: Ssh, port: int, *, platform: str, secrets: Mapping[str, Secret]) -> str:
        """Where the door of a machine is reached here, ``http://127.0.0.1:…``. A line that broke is opened anew.

        A door that does not listen yet waits for its secrets, so they are sent before; one that listens has them.

        Raises:
            ConnectorError: The machine cannot be reached now, or is not the right one.
        """
        with self._lock:
            lock = self._locks.setdefault(label, threading.Lock())
        with lock:
            known = self._open.get(label)
            if known is not None and known[:2] == (ssh, port) and known[2].alive:
                return _address(known[2])
            self._close(label)
            way = self._keys.way(label, ssh, platform=platform)
            if secrets and not _listens(way, port):
                way.send_secrets(secrets)
            tunnel = way.tunnel(port)
            self._open[label] = (ssh, port, tunnel)
            return _address(tunnel)

    def forget(self, label: str) -> None:
        """Close what leads to a machine that is gone, and delete its keys."""
        self._close(label)
        self._keys.forget(label)

    def close(self) -> None:
        """Close all lines. The next call opens them anew."""
        for label in list(self._open):
            self._close(label)

    def _close(self, label: str) -> None:
        known = self._open.pop(label, None)
        if known is not None:
            known[2].close()


def _listens(way: SshWay, port: int) -> bool:
    """Whether somebody listens there on a port, which on an emulated machine ``PEFT_STUDIO_PORT_<port>`` stands for."""
    look = f': </dev/tcp/127.0.0.1/"${{PEFT_STUDIO_PORT_{port}:-{port}}}"'
    return way.run(f"bash -c '{look}' 2>/dev/null && echo yes || echo no").strip() == "yes"


def _address(tunnel: Tunnel) -> str:
    return f"http://127.0.0.1:{tunnel.port}"
