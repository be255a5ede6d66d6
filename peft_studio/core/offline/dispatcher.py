"""Sends what is due by itself, in daemon threads of this process: when something is put in, when a wait is over, when the network is back.

It may die at any moment, as the process may: what it was at is in the outbox. Several processes may each have one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from peft_studio.core.errors import OutboxError
from peft_studio.core.offline.connectivity import Connectivity
from peft_studio.core.offline.delivery import Delivered, deliver_line
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.sender import Sender

LINES = 8  # targets that are sent to at once: a hung one holds no other
LOOK_S = 60.0  # what another process left behind is found within


class _Work:
    """One line that is being sent; ``delivered`` when that is over."""

    delivered: Delivered | None = None


class Dispatcher:
    """Nothing runs until :meth:`start`.

    Args:
        senders: Who sends to a target; None while nobody here can, because it is not connected. Quick, and raises nothing.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        outbox: Outbox,
        senders: Callable[[str], Sender | None],
        connectivity: Connectivity,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outbox, self._senders, self._connectivity, self._clock = outbox, senders, connectivity, clock
        self._turn_of = threading.Condition()
        self._woken = self._closed = self._is_back = False
        self._working: dict[str, _Work] = {}
        self._not_before: dict[str, float] = {}  # lines that stopped for a reason that has no end of its own
        self._thread: threading.Thread | None = None
        outbox.on_put(self.wake)
        self._unwatch = connectivity.watch(self._changed, doubts=True)

    def start(self) -> None:
        """Begin to send by itself. A second call does nothing."""
        with self._turn_of:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="peft-studio outbox", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Look again now: something was put in, repaired, or connected."""
        with self._turn_of:
            self._woken = True
            self._not_before.clear()
            self._turn_of.notify_all()

    def sync(self, *, timeout_s: float | None = None) -> list[Delivered]:
        """Send now all that is not told to wait, and return what came of each line. Offline, nothing is tried and nothing comes back."""
        if self._connectivity.check(at_once=True):
            return []
        self.outbox.hasten()
        ends_at = None if timeout_s is None else self._clock() + timeout_s
        waiting, begun = list(self.outbox.heads()), dict[str, _Work]()
        with self._turn_of:
            self._not_before.clear()
            while True:
                while waiting and len(self._working) < LINES:
                    target = waiting.pop(0)
                    begun[target] = self._begin(target)
                at_work = [work for work in begun.values() if work.delivered is None]
                left_s = None if ends_at is None else ends_at - self._clock()
                if not (waiting or at_work) or (left_s is not None and left_s <= 0):
                    break
                self._turn_of.wait(left_s)
        late = [Delivered(target, why="waits for its turn") for target in waiting]
        return [work.delivered or Delivered(target, why="is still being sent") for target, work in begun.items()] + late

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Begin nothing more, and give what is under way some time."""
        with self._turn_of:
            self._closed = True
            self._turn_of.notify_all()
            self._turn_of.wait_for(lambda: not self._working, timeout_s)
        self._unwatch()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _changed(self, offline: bool | str) -> None:
        self._is_back = self._is_back or not offline
        self.wake()

    def _run(self) -> None:
        while True:
            wait_s = self._turn()
            with self._turn_of:
                if not self._woken and not self._closed:
                    self._turn_of.wait(wait_s)
                self._woken = False
                if self._closed:
                    return

    def _turn(self) -> float:
        """Begin what is due; returns how long nothing will be."""
        try:
            if self._connectivity.check():
                wait_s = self._connectivity.next_check_s
                return LOOK_S if wait_s is None else wait_s
            if self._is_back:
                self._is_back = False
                self.outbox.hasten(only_unreachable=True)
            heads = self.outbox.heads()
        except OutboxError:  # no room, or held by somebody: it is said to whoever puts something in
            return LOOK_S
        waits = [LOOK_S]
        with self._turn_of:
            for target, left_s in heads.items():
                wait_s = max(left_s, self._not_before.get(target, 0.0) - self._clock())
                if wait_s > 0:
                    waits.append(wait_s)
                elif len(self._working) < LINES and not self._closed:
                    self._begin(target)
        return min(waits)

    def _begin(self, target: str) -> _Work:
        """The work on a line: what is under way already, or a new one. Called while holding ``_turn_of``."""
        if target in self._working:
            return self._working[target]
        work, sender = _Work(), self._senders(target)
        if sender is None:
            work.delivered = Delivered(target, why="is not connected")
            self._not_before[target] = self._clock() + LOOK_S
            return work
        self._working[target] = work
        name = f"peft-studio outbox {target}"
        threading.Thread(target=self._send, args=(target, sender, work), name=name, daemon=True).start()
        return work

    def _send(self, target: str, sender: Sender, work: _Work) -> None:
        done = Delivered(target, why="could not be sent")
        try:
            done = deliver_line(self.outbox, target, sender, stop=self._why_not)
        except (OutboxError, OSError) as exc:  # no room, or held by somebody
            done.why = str(exc)
        finally:
            with self._turn_of:
                work.delivered = done
                del self._working[target]
                if done.why and done.left_s <= 0:
                    self._not_before[target] = self._clock() + LOOK_S
                self._woken = True
                self._turn_of.notify_all()

    def _why_not(self) -> str:
        if self._closed:
            return "this studio is closed"
        offline = self._connectivity.offline
        return f"offline: {offline}" if isinstance(offline, str) else "offline" if offline else ""
