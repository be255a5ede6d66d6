"""One order carried out in its registry's lane: its turn, its progress as the caller's thread sees it, and its end when nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, cast

from peft_studio.core.errors import Cancelled, Refused
from peft_studio.core.ports.catalog import Catalog, Pending
from peft_studio.core.ports.download import Downloads, Fetched, Order, Progress
from peft_studio.core.ports.platform import Capability
from peft_studio.core.ports.registry import Registry

DOWNLOAD_S = 7 * 24 * 3600.0
LOOK_S = 0.25  # between two looks at how far it is
AT_ONCE = 2  # of one registry, in this process: its lane has four places, and questions need some
_turns: dict[str, threading.BoundedSemaphore] = {}
_turns_lock = threading.Lock()
Tell = Callable[[Progress], None]


class DownloadingRegistry(Registry, Downloads, Protocol):
    """A registry that has Capability.DOWNLOAD."""


def carry_out(catalog: Catalog, registry: str, order: Order, tell: Tell) -> Fetched:
    """Have an order carried out in the registry's lane, and tell how far it is from this thread."""
    newest: list[Progress] = []
    settled = threading.Event()

    def work(connector: Registry) -> Fetched:
        try:
            return require_downloads(connector).fetch_artifact(ordered)
        finally:
            settled.set()

    ordered = replace(order, tell=newest.append)
    with _turn(registry, order.stop):
        pending = catalog.start(registry, Fetched, work, deadline_s=DOWNLOAD_S)
        return _watch(pending, settled, newest, tell=tell, stop=order.stop)


def require_downloads(connector: Registry) -> DownloadingRegistry:
    """A registry that gives downloads.

    Raises:
        Refused: It does not, with its own reason.
    """
    if reason := connector.unsupported.get(Capability.DOWNLOAD):
        raise Refused(
            f"{connector.info.title} gives no downloads: {reason}",
            hint="studio.models() shows where else a model is.",
            platform=connector.info.name,
        )
    return cast("DownloadingRegistry", connector)


def _watch(
    pending: Pending[Fetched], settled: threading.Event, newest: list[Progress], *, tell: Tell, stop: threading.Event
) -> Fetched:
    """Wait for a download in this thread, and tell how far it is."""
    try:
        while not _is_over(pending, settled):
            if newest:
                tell(newest[-1])
                del newest[:-1]
        if newest:
            tell(newest[-1])
        return pending.result()
    finally:
        if not pending.done():  # as after Ctrl-C: nobody waits for it any more
            stop.set()


@contextmanager
def _turn(registry: str, stop: threading.Event) -> Iterator[None]:
    """One of the turns of a registry, waited for."""
    with _turns_lock:
        turns = _turns.setdefault(registry, threading.BoundedSemaphore(AT_ONCE))
    while not turns.acquire(timeout=LOOK_S):
        if stop.is_set():
            raise Cancelled(
                "The download was called off before its turn came.",
                hint="Nothing has come of it yet; ask again.",
                platform=registry,
            )
    try:
        yield
    finally:
        turns.release()


def _is_over(pending: Pending[Fetched], settled: threading.Event) -> bool:
    return pending.done() or settled.wait(LOOK_S) or pending.done()
