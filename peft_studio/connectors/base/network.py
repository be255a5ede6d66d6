"""Whether anything may leave, and what came of what left: the seam between the HTTP door and whoever keeps an eye on the network.

There is one network a process, so this is said once, by the studio. Without a watcher everything may leave.
"""

from __future__ import annotations

from typing import Protocol


class Network(Protocol):
    """Who keeps an eye on it; core.offline has one. Any thread calls."""

    def require(self, what: str) -> None:
        """Let a request pass, or raise the StudioError that says why not."""
        ...

    def report(self, host: str, *, reached: bool) -> None:
        """A host answered, be it with an error, or did not."""
        ...


_watcher: Network | None = None


def watch(network: Network | None) -> None:
    """Ask this one from now on; None asks nobody."""
    global _watcher
    _watcher = network


def require(what: str) -> None:
    """Ask whether a request may leave."""
    if _watcher is not None:
        _watcher.require(what)


def report(host: str, *, reached: bool) -> None:
    """Say what came of one."""
    if _watcher is not None:
        _watcher.report(host, reached=reached)
