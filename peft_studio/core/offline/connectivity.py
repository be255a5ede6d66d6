"""Whether there is a network: said by hand, or learnt from what requests met and from cheap probes.

Sends nothing itself: whoever does reports what came of it, and probes are passed in. One host that fails is that host's trouble.
"""

from __future__ import annotations

import contextlib
import ipaddress
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from peft_studio.core.errors import Offline

HOSTS = 2  # different hosts that failed, and none that answered, within
WINDOW_S = 60.0
DOUBT = 3  # failures of one host in a row, after which the probes are asked
FIRST_S, LONGEST_S = 5.0, 300.0  # between probes while nothing answers


class Connectivity:
    """What is known of the network. Safe to use from any thread.

    Args:
        probes: Each asks one host for next to nothing and says whether it answered. With none, a request is let through now and then instead.
        clock: Seconds that only go forward.
        roll: A random number in [0, 1).
    """

    def __init__(
        self,
        probes: Sequence[Callable[[], bool]] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self._probes, self._clock, self._roll = tuple(probes), clock, roll
        self._lock, self._probing = threading.Lock(), threading.Lock()
        self._watchers: list[tuple[Callable[[bool | str], None], bool]] = []
        self._hand: bool | str | None = None
        self._failed: dict[str, list[float]] = {}  # when each host failed, since any answered
        self._down: str | None = None  # why there is no network, as found out
        self._doubted = self._trial = False
        self._rounds, self._next_at = 0, clock()

    @property
    def offline(self) -> bool | str:
        """A reason in words when there is no network, True when it was set so by hand without one, else False."""
        with self._lock:
            return self._offline()

    @property
    def is_by_hand(self) -> bool:
        """Whether ``offline`` was set by hand."""
        with self._lock:
            return self._hand is not None

    def set(self, offline: bool | str | None) -> None:
        """Say it by hand: True or a reason: nothing leaves, no probe either. False: there is a network, whatever fails. None: find out."""
        with self._changing():
            self._hand = offline if offline is not None and offline != "" else None
            self._start_anew()

    def require(self, what: str = "This") -> None:
        """Let pass what needs the network, or say why not. Every request asks before it leaves.

        Raises:
            Offline: There is none, or there is to be none.
        """
        with self._lock:
            reason, by_hand = self._offline(), self._hand is not None
        if reason is not False:
            why = f": {reason}" if isinstance(reason, str) else ", as you set it"
            hint = (
                "studio.offline = None lets it be found out again."
                if by_hand
                else "It is tried again by itself; studio.sync() tries now."
            )
            raise Offline(f"{what} needs the network, and you are offline{why}.", hint=hint)  # fmt: skip

    def report(self, host: str, *, reached: bool) -> None:
        """What came of a request: whether the host answered at all, be it with an error. Hosts on this machine tell nothing."""
        if _is_here(host):
            return
        with self._changing():
            if reached:
                self._start_anew()
                return
            now = self._clock()
            times = [at for at in self._failed.pop(host, []) if now - at <= WINDOW_S]
            self._failed[host] = [*times, now][-DOUBT:]
            recent = [name for name, ats in self._failed.items() if now - ats[-1] <= WINDOW_S]
            if self._trial or len(recent) >= HOSTS:
                self._go_down(f"no answer from {', '.join(sorted(recent)[:3])}")
            elif len(self._failed[host]) >= DOUBT and self._probes and self._down is None:
                self._doubted = True

    def check(self, *, at_once: bool = False) -> bool | str:
        """Probe if that is due, or now; returns ``offline``. Waits for the probes, so it is for a background thread or a person who asked."""
        if not self._is_due(at_once) or not self._probing.acquire(blocking=False):
            return self.offline
        try:
            # Said by hand meanwhile, the next probe does not go out any more.
            answered = any(self._hand is None and _answers(probe) for probe in self._probes) if self._probes else None
        finally:
            self._probing.release()
        with self._changing():
            if self._hand is not None:
                pass  # set while the probes were out
            elif answered:
                self._start_anew()
            elif answered is None:
                self._down, self._trial = None, True
            else:
                self._go_down(self._down or "nothing answers")
        return self.offline

    @property
    def next_check_s(self) -> float | None:
        """Seconds until :meth:`check` will probe; None when there is nothing to find out."""
        with self._lock:
            if self._hand is not None or (self._down is None and not self._doubted):
                return None
            return max(0.0, self._next_at - self._clock())

    def watch(self, tell: Callable[[bool | str], None], *, doubts: bool = False) -> Callable[[], None]:
        """Have ``tell`` called with ``offline`` when it changes, and with ``doubts`` also when :meth:`check` becomes due. Returns what ends this."""
        one = (tell, doubts)
        self._watchers.append(one)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._watchers.remove(one)

        return end

    def _offline(self) -> bool | str:
        if self._hand is not None:
            return self._hand
        return self._down or False

    def _start_anew(self) -> None:
        self._failed.clear()
        self._down = None
        self._doubted = self._trial = False
        self._rounds, self._next_at = 0, self._clock()

    def _go_down(self, reason: str) -> None:
        self._down, self._doubted, self._trial = reason, False, False
        wait_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._rounds, 10)) * (0.75 + self._roll() / 4)
        if self._clock() >= self._next_at:  # a failing request that was under way does not put off the next probe
            self._rounds, self._next_at = self._rounds + 1, self._clock() + wait_s

    def _is_due(self, at_once: bool) -> bool:
        with self._lock:
            if self._hand is not None or (self._down is None and not self._doubted):
                return False
            return at_once or self._clock() >= self._next_at

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            before = self._offline(), self._doubted
            yield
            after = self._offline(), self._doubted
        for tell, doubts in list(self._watchers):
            if before[0] != after[0] or (doubts and after[1] and not before[1]):
                tell(self.offline)  # as it is by now: two threads may change it at once, and be told in any order


def _answers(probe: Callable[[], bool]) -> bool:
    try:
        return probe()
    except OSError:
        return False


def _is_here(host: str) -> bool:
    """Whether a host is this machine: it is there whether or not there is a network."""
    name = host.rsplit("@")[-1].strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return False
