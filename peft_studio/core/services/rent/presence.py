"""Renews the lease of a machine for as long as somebody is there."""

from __future__ import annotations

import contextlib
import threading

from peft_studio.core.errors import ConnectorError
from peft_studio.core.ports.node import Node


class Presence:
    """Tells a machine that its owner is there, while a ``with`` block lasts."""

    def __init__(self, node: Node) -> None:
        self._node, self._left = node, threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def _renew(self) -> None:
        while not self._left.is_set():
            with contextlib.suppress(ConnectorError):
                self._node.renew_lease()
            self._left.wait(20.0)  # of a lease that is ten minutes long by default, and never shorter than one

    def __enter__(self) -> Presence:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._left.set()
