"""The process that watches rented machines until all of them are proven gone: one a home, a thread a provider, so that one that hangs
delays no other.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import uuid4

from peft_studio.core.errors import RentError
from peft_studio.core.services.rent.calls import Rentals
from peft_studio.core.services.rent.held import note_held
from peft_studio.core.services.rent.keeper import BuildRent, Keeper
from peft_studio.core.services.rent.limits import LIMITS, Limits
from peft_studio.core.services.rent.moment import Now, read_now
from peft_studio.core.services.rent.record import Wish
from peft_studio.core.services.rent.store import Store
from peft_studio.core.system import detached, is_locked, open_private, try_lock

GLANCES = 5  # of one who wants to watch, before another one is taken to do so
LOOK_S = 2.0  # a stop that is said in another process is acted on within so long
log = logging.getLogger("peft_studio.rent")
log.addHandler(logging.NullHandler())


class Beside(Protocol):
    """What goes on in the process that watches, besides watching: whoever follows the runs."""

    def turn(self) -> None:
        """Look once what is to be done. Quick."""
        ...

    def busy(self) -> bool:
        """Whether it is not done yet."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Reconciler:
    """Looks after every record of one store. :meth:`run` blocks until nothing is left to look after.

    Args:
        folder: Of the store: its lock file lets one process of a home watch.
        rentals: The connected providers as they are now, asked for anew each turn.
        build_rent: What to buy for an intent.
        beside: Goes on as long as this does.
        limits: For tests.
        say_blind: Why a provider that is not among them cannot be asked.
    """

    def __init__(
        self, store: Store, folder: Path, *, rentals: Rentals, build_rent: BuildRent, now: Now = read_now,
        beside: Beside | None = None, limits: Limits = LIMITS, say_blind: Callable[[str], str] | None = None,
    ) -> None:  # fmt: skip
        self.store, self.folder, self._beside = store, folder, beside
        self._rentals, self._build_rent, self._now, self._limits = rentals, build_rent, now, limits
        self._say_blind = say_blind
        self._token = uuid4().hex
        self._stop = threading.Event()
        self._lanes: dict[str, threading.Thread] = {}
        self._swept: set[str] = set()

    def stop(self) -> None:
        """Have :meth:`run` return soon. Machines stay as they are, and so do the records."""
        self._stop.set()

    def run(self, *, take_over: bool = False, holds: Iterable[str] = ()) -> bool:
        """Watch until every record is closed. False at once where another process of this home watches already.

        ``take_over``: that one lets go instead, for this one has newer keys. ``holds``: whose they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while not self._stop.is_set():
            with lock_path(self.folder).open("a+b") as lock:
                if not self._take(lock) and not (take_over and self._relieve(lock)):
                    return False
                with suppress(OSError):  # a full disk keeps nobody from watching
                    note_held(self.folder, holds)
                self._watch()
            if self._is_relieved():
                return False
            if (
                not self._open_providers()
            ):  # looked at once more without the lock: who orders now finds it free, and starts another
                return True
        return True

    def sweep(self) -> list[str]:
        """Look once at every connected provider: what is due is done, what is nobody's is shown. Returns who could not be asked, and why."""
        keepers = [self._keeper(name) for name in self._rentals()]
        for keeper in keepers:
            self._turn(keeper)
        return [
            f"{keeper.provider} did not list its machines: {keeper.why_blind}" for keeper in keepers if keeper.why_blind
        ]

    def _take(self, lock: BinaryIO) -> bool:
        """Whether nobody watched. Who only asks that holds the lock, too, for an instant, and is no reason to leave."""
        for _ in range(GLANCES):
            if try_lock(lock):
                return True
            self._stop.wait(0.05)
        return False

    def _relieve(self, lock: BinaryIO) -> bool:
        """Wait until whoever watches has let go, which it does as long as this waits. One after the other where several come."""
        with _relief_path(self.folder).open("a+b") as turn:
            while not try_lock(turn):
                if self._stop.wait(0.1):
                    return False
            while not try_lock(lock):
                if self._stop.wait(0.1):
                    return False
        return True

    def _is_relieved(self) -> bool:
        """Whether another process waits to take over."""
        return is_locked(_relief_path(self.folder))

    def _watch(self) -> None:
        try:
            self._look_after()
        finally:
            if self._beside:
                self._beside.close()
            if self._is_relieved():  # what is on its way to a provider comes to its end
                self._stop.set()
                for lane in self._lanes.values():
                    lane.join(10)

    def _look_after(self) -> None:
        while not self._stop.is_set() and not self._is_relieved():
            if self._beside:
                with suppress(RentError):
                    self._beside.turn()
            wanted = self._open_providers() | (set(self._rentals()) - self._swept)
            for name in wanted:
                if name not in self._lanes or not self._lanes[name].is_alive():
                    self._lanes[name] = threading.Thread(
                        target=self._keep, args=(name,), name=f"rent-{name}", daemon=True
                    )
                    self._lanes[name].start()
            if not wanted and not self._busy():
                return
            self._stop.wait(LOOK_S / 2)

    def _busy(self) -> bool:
        """Whether a lane that has work is still at it; one that hangs without any does not keep the process."""
        lanes = any(lane.is_alive() for lane in self._lanes.values()) and bool(self._open_providers())
        return lanes or (self._beside is not None and self._beside.busy())

    def _open_providers(self) -> set[str]:
        try:
            return {record.intent.provider for record in self.store.list_open()}
        except RentError as exc:
            log.warning("%s", exc)
            return {"?"}  # not known is not none

    def _keeper(self, name: str) -> Keeper:
        return Keeper(
            name, self.store, rentals=self._rentals, build_rent=self._build_rent, token=self._token, now=self._now, limits=self._limits,
            say_blind=self._say_blind,
        )  # fmt: skip

    def _keep(self, name: str) -> None:
        """One provider's thread, until it has no work."""
        keeper = self._keeper(name)
        while not self._stop.is_set():
            wait_s = self._turn(keeper)
            self._swept.add(name)
            said = self._said(name)
            if said is not None and not said:
                return
            slept_s = 0.0
            while slept_s < wait_s and self._said(name) == said and not self._stop.wait(min(LOOK_S, wait_s - slept_s)):
                slept_s += LOOK_S

    def _turn(self, keeper: Keeper) -> float:
        try:
            wait_s = keeper.turn()
        except RentError as exc:
            log.warning("%s: %s", keeper.provider, exc)
            return self._limits.busy_s
        for trouble in (keeper.trouble, keeper.why_blind):
            if trouble:
                log.warning("%s: %s", keeper.provider, trouble)
        return wait_s

    def _said(self, name: str) -> dict[str, Wish] | None:
        """What people want of this provider's records; None where it cannot be read."""
        with suppress(RentError):
            return {record.label: record.wish for record in self.store.list_open() if record.intent.provider == name}
        return None


def lock_path(folder: Path) -> Path:
    """The file that the watching process holds."""
    return folder / "watch.lock"


def _relief_path(folder: Path) -> Path:
    """The file that a process holds which is about to take over."""
    return folder / "relief.lock"


def is_watched(folder: Path) -> bool:
    """Whether a process watches this home's machines."""
    return is_locked(lock_path(folder))


def start_watching(
    home: Path, folder: Path, *, given: bytes = b"", popen: Callable[..., Any] = subprocess.Popen
) -> None:
    """Start the process that watches, unless one does. It outlives this one. To be called after a record was put, never before.

    ``given``: keys for it, by its input, which no list of processes shows. One that has them takes over.
    """
    if is_watched(folder) and not given:
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    code = "import sys; from peft_studio.cli import main; sys.exit(main())"
    with open(open_private(folder / "watch.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as output:
        started = popen(
            [sys.executable, "-c", code, "watch-rentals", "--home", str(home)],
            stdin=subprocess.PIPE if given else subprocess.DEVNULL, stdout=output, stderr=output, **detached(),
        )  # fmt: skip
    if given:
        with started.stdin as keys:
            keys.write(given)
