"""The one thread of a kernel that keeps its panels up to date, whether or not a cell is running.

Sending from a thread of our own is safe in ipykernel and goes out while a cell is busy; handing work to the kernel's
main loop is not (it waits for the cell to end). Knows nothing of what a panel shows.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Refreshed(Protocol):
    """What is kept up to date.

    ``refresh`` must not raise and must not wait; ``interval_s`` is asked again after each call.
    """

    @property
    def interval_s(self) -> float: ...

    def refresh(self) -> None: ...


class Refresher:
    """Calls ``refresh`` on everything it watches, each at its own interval.

    Its thread ends with the process and waits while nothing is watched.
    """

    def __init__(self) -> None:
        self._watched: set[Refreshed] = set()
        self._early: set[Refreshed] = set()  # to be refreshed before they are due
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def watched(self) -> frozenset[Refreshed]:
        """What is kept up to date now."""
        with self._changed:
            return frozenset(self._watched)

    def watch(self, panel: Refreshed) -> None:
        """Start refreshing, at once; what is watched already is refreshed at once too."""
        with self._changed:
            self._watched.add(panel)
            self._early.add(panel)
            if self._thread is None or not self._thread.is_alive():  # not alive: the process was forked
                self._thread = threading.Thread(target=self._loop, name="peft-studio-panels", daemon=True)
                self._thread.start()
            self._changed.notify()

    def forget(self, panel: Refreshed) -> None:
        """Stop refreshing."""
        with self._changed:
            self._watched.discard(panel)

    def _loop(self) -> None:
        due: dict[Refreshed, float] = {}  # when to refresh next, on the monotonic clock
        while True:
            with self._changed:
                due = {panel: 0.0 if panel in self._early else due.get(panel, 0.0) for panel in self._watched}
                self._early.clear()
                wait_s = min(due.values()) - time.monotonic() if due else None
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
            # Who is in a hurry goes first, and again before the next of those that are not: they are many, and nobody sees them.
            late = [panel for panel, at in due.items() if at <= time.monotonic()]
            first = min(late, key=lambda panel: (panel.interval_s, due[panel]))
            first.refresh()
            due[first] = time.monotonic() + first.interval_s


REFRESHER = Refresher()
