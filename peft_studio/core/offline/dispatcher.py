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
    """One line that is being sent, and what came of it."""

    def __init__(self, send: Callable[[], Delivered]) -> None:
        self.delivered: Delivered | None = None
        self.thread = threading.Thread(target=self._run, args=(send,), name="peft-studio outbox line", daemon=True)

    def _run(self, send: Callable[[], Delivered]) -> None:
        self.delivered = send()


class Dispatcher:
    """Nothing runs until :meth:`start`.

    Args:
        senders: Who sends to a target; None while nobody here can, because it is not connected.
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
        self._woken, self._closed = False, False
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
        """Send now all that is not told to wait, and return what came of each line. Offline by hand, nothing is tried."""
        self._connectivity.check(at_once=True)
        if not self._connectivity.offline:
            self.outbox.hasten()
        ends_at = None if timeout_s is None else self._clock() + timeout_s
        with self._turn_of:
            self._not_before.clear()
        waiting, done = list(self.outbox.heads()), list[Delivered]()
        while waiting:
            begun = [(target, self._begin(target)) for target in waiting[:LINES]]
            for target, work in begun:
                if isinstance(work, _Work):
                    work.thread.join(None if ends_at is None else max(0.0, ends_at - self._clock()))
                    work = work.delivered or Delivered(target, why="is still being sent")
                done.append(work)
            waiting = waiting[LINES:]
        return done

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Begin nothing more, and give what is under way some time."""
        with self._turn_of:
            self._closed = True
            self._turn_of.notify_all()
            left = [work.thread for work in self._working.values()] + ([self._thread] if self._thread else [])
        self._unwatch()
        ends_at = self._clock() + timeout_s
        for thread in left:
            if thread is not threading.current_thread():
                thread.join(max(0.0, ends_at - self._clock()))

    def _changed(self, offline: bool | str) -> None:
        if not offline:
            self.outbox.hasten(only_unreachable=True)
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
            heads = self.outbox.heads()
        except OutboxError:  # no room, or held by somebody: it is said to whoever puts something in
            return LOOK_S
        waits = [LOOK_S]
        for target, left_s in heads.items():
            wait_s = max(left_s, self._not_before.get(target, 0.0) - self._clock())
            if wait_s > 0:
                waits.append(wait_s)
            elif len(self._working) < LINES:
                self._begin(target)
        return min(waits)

    def _begin(self, target: str) -> _Work | Delivered:
        """The work on a line: what is under way already, or a new one; or why there is none."""
        sender = self._senders(target)
        if sender is None:
            with self._turn_of:
                self._not_before[target] = self._clock() + LOOK_S
            return Delivered(target, why="is not connected")
        with self._turn_of:
            if target not in self._working:
                self._working[target] = _Work(lambda: self._send(target, sender))
                self._working[target].thread.start()
            return self._working[target]

    def _send(self, target: str, sender: Sender) -> Delivered:
        try:
            done = deliver_line(self.outbox, target, sender, offline=self._why_not)
        except OutboxError as exc:
            done = Delivered(target, why=str(exc))
        with self._turn_of:
            del self._working[target]
            if done.why and done.left_s <= 0:
                self._not_before[target] = self._clock() + LOOK_S
            self._woken = True
            self._turn_of.notify_all()
        return done

    def _why_not(self) -> bool | str:
        return self._closed or self._connectivity.offline
