"""One connector's own lane: what it does there can be late, wrong or endless, and nobody else notices.

A call runs on a daemon thread of its own, at most a few of them a lane, and its caller waits no longer than the deadline. After
that the call is given up. What is made in a process of its own (:mod:`.host`) ends with that process. What runs here, which is ours
or comes from a cell or a test, is ended by an exception thrown into its thread; where it waits in C it goes on unseen and holds one
of its lane's places until it returns. What no thread can hold back is memory, a crash, or whoever holds the interpreter.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import ValidationError

from peft_studio.connectors.base.clauses import broken_contract, describe
from peft_studio.core.errors import BadConnector, StudioError, Unavailable
from peft_studio.core.markup import visible
from peft_studio.core.ports.catalog import HEALTHY, Health

T = TypeVar("T")

PLACES = 4
SAID_CHARACTERS = 300
LONGEST_TEXT = 4000
log = logging.getLogger("peft_studio.connectors")
log.addHandler(logging.NullHandler())  # what is said here stands in the lists of platforms and models, too


class _GivenUpError(BaseException):
    """Thrown into a thread whose caller has gone. No ``except Exception`` of a connector holds it back."""


def _nothing() -> None:
    """There is nothing elsewhere."""


class Pending(Generic[T]):
    """A call on its way."""

    def __init__(self, lane: Lane, *, deadline_s: float, cut: Callable[[], None]) -> None:
        self._lane, self._cut = lane, cut
        self._deadline_s = deadline_s
        self.began_at = time.monotonic()
        self._over_at = self.began_at + deadline_s
        self._over = threading.Event()
        self._value: list[T] = []
        self._error: StudioError | None = None
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._tell: list[Callable[[], object]] = []

    def done(self) -> bool:
        """Whether the result is there, good or bad."""
        return self._over.is_set()

    def when_done(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called once the result is there; at once, where it is there already. It must be quick and raise nothing."""
        with self._lock:
            if not self._over.is_set():
                self._tell.append(tell)
                return
        tell()

    def result(self, wait_s: float | None = None) -> T:
        """The result, waited for until the call's deadline, at which it is given up. With ``wait_s`` no longer than that, and the
        call goes on: it may come good by its deadline, and then its connector counts as well again.

        Raises:
            StudioError: What the connector raised, a ConnectorError as a rule; BadConnector or Unavailable where it broke its contract or was too slow.
        """
        left = max(0.0, self._over_at - time.monotonic())
        if not self._over.wait(left if wait_s is None else min(left, wait_s)):
            if wait_s is not None and wait_s < left:
                self._watch(left - wait_s)
                raise self._late(f"was not waited for any longer, after {time.monotonic() - self.began_at:.1f} s")
            self._give_up()
        if self._error is not None:
            raise self._error
        return self._value[0]

    def _watch(self, left_s: float) -> None:
        """Nobody waits for it any more, so somebody must look when its time is over."""
        timer = threading.Timer(left_s + 0.01, self.give_up_if_late)
        timer.daemon = True
        timer.start()

    def give_up_if_late(self) -> None:
        """End the call if its deadline has passed."""
        if time.monotonic() >= self._over_at:
            self._give_up()

    def _give_up(self) -> None:
        error = self._late(f"has not answered within {self._deadline_s:g} s")
        with self._lock:  # held while throwing: its thread cannot end meanwhile and leave its number to another
            if self._over.is_set():
                return
            self._error = error
            self._lane.mark(error.message)
            self._end()
            if self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(_GivenUpError)
                )
            self._cut()

    def _late(self, what: str) -> Unavailable:
        return Unavailable(
            f"{self._lane.title} {what}.",
            hint=f"The others go on without it. Try again later, or studio.disable({self._lane.name!r}).",
            platform=self._lane.name,
        )

    def _begin(self) -> None:
        self._thread = threading.get_ident()

    def _settle(self, value: T | None = None, error: StudioError | None = None) -> None:
        """Record the outcome, if it is the first, and how well the connector is."""
        with self._lock:
            if self._over.is_set():
                return
            if error is None:
                self._value.append(value)  # type: ignore[arg-type]
            self._error = error
            # A typed error is no fault of the connector's: the platform has trouble, and it says so as it should.
            took_s = time.monotonic() - self.began_at
            self._lane.mark(error.message if isinstance(error, BadConnector) else "", took_s=took_s)
            self._end()

    def _end(self) -> None:
        self._over.set()
        for tell in self._tell:
            tell()

    def _refuse(self, error: StudioError) -> None:
        """The outcome of a call that never began; how well the connector is stays as it was."""
        self._error = error
        self._over.set()


class Lane:
    """Where one connector's code runs. ``redact`` takes secrets out of what its exceptions say."""

    def __init__(self, name: str, title: str, *, redact: Callable[[str], str] = str) -> None:
        self.name, self.title = name, title
        self.health: Health = HEALTHY
        self._redact = redact
        self._places = threading.BoundedSemaphore(PLACES)

    def start(self, work: Callable[[], T], *, deadline_s: float, cut: Callable[[], None] = _nothing) -> Pending[T]:
        """Begin a call. Never waits: with every place taken by calls that do not come back, the result is an error at once.

        ``cut`` ends what the call waits for elsewhere, should it be given up.
        """
        pending: Pending[T] = Pending(self, deadline_s=deadline_s, cut=cut)
        if not self._places.acquire(blocking=False):
            pending._refuse(
                Unavailable(
                    f"{PLACES} earlier calls to {self.title} have not come back.",
                    hint=f"studio.disable({self.name!r}) takes it out; a restart of the kernel ends those calls.",
                    platform=self.name,
                )
            )
            return pending
        threading.Thread(target=self._run, args=(pending, work), name=f"connector-{self.name}", daemon=True).start()
        return pending

    def mark(self, reason: str, *, took_s: float | None = None) -> None:
        """Remember how its last call went, and say it in the log when it is a new fault."""
        if reason and self.health.reason != reason:
            log.warning("%s is unhealthy: %s", self.name, reason)
        self.health = Health(ok=not reason, reason=reason, took_s=took_s)

    def _run(self, pending: Pending[T], work: Callable[[], T]) -> None:
        try:
            pending._begin()
            self._work(pending, work)
        except _GivenUpError:
            pass
        finally:
            self._places.release()

    def _work(self, pending: Pending[T], work: Callable[[], T]) -> None:
        try:
            value = work()
        except _GivenUpError:
            raise
        except StudioError as exc:
            pending._settle(error=self._cleaned(exc))
        except ValidationError as exc:
            pending._settle(error=broken_contract(self.name, describe(exc)))
        except BaseException as exc:  # noqa: BLE001  # a stranger's SystemExit or KeyboardInterrupt ends its call, not the kernel
            pending._settle(error=self._failed(exc))
        else:
            pending._settle(value)

    def _cleaned(self, exc: StudioError) -> StudioError:
        """Its own error without secrets and of readable length; another where it is not even well made."""
        parts = getattr(exc, "message", None), getattr(exc, "hint", None)
        if not all(isinstance(part, str) for part in parts):
            return self._failed(exc)
        exc.message, exc.hint = (self.clean(str(part))[:LONGEST_TEXT] for part in parts)
        exc.args = (exc.message,)
        return exc

    def _failed(self, exc: BaseException) -> BadConnector:
        """Not chained to what was raised: a traceback would print a stranger's text, which may quote a key."""
        try:
            said = str(exc)
        except Exception:  # noqa: BLE001  # it cannot even be printed
            said = "an exception that cannot be printed"
        return self.failed(type(exc).__name__, said)

    def clean(self, text: str) -> str:
        """Text without secrets."""
        return self._redact(text)

    def failed(self, kind: str, said: str) -> BadConnector:
        """What an exception of the connector's becomes, given by the name of its class and its text."""
        return BadConnector(
            f"The connector {self.title} failed: {kind}: {visible(self.clean(said))[:SAID_CHARACTERS]}",
            hint=f"That is an error in the connector. Tell its author, or studio.disable({self.name!r}).",
            platform=self.name,
        )
