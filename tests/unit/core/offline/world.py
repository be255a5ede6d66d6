"""A small world for the outbox: remotes that misbehave, workers that die between any two steps, a clock that jumps. All by a seed.

A crash is a ``BaseException`` after which a worker's connection to the disk does nothing any more, as if its process had been killed;
the next worker opens what is on the disk. (That SQLite's commit itself is whole or not is left to the kills of real processes.)
"""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.core import sqlite_file
from peft_studio.core.errors import OutboxError
from peft_studio.core.offline import repair
from peft_studio.core.offline.delivery import deliver_line
from peft_studio.core.offline.entry import Entry, Operation
from peft_studio.core.offline.outbox import Outbox
from peft_studio.core.offline.sender import SendLater, SendRefused

KEY = bytes(range(32))
TARGETS = ("keyed:a", "keyed:b", "asked:a", "asked:b", "blind:a")
EVENTS = 100
GOOD_AFTER = 60  # rounds, after which nothing fails any more: what is left has to arrive


class Crash(BaseException):
    """The process is killed."""


class Remote:
    """The other sides. ``keyed`` ones do a thing once a key, ``asked`` ones can be asked, ``blind`` ones neither."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.applied: dict[str, list[int]] = defaultdict(list)
        self.keys: dict[str, str] = {}

    def apply(self, entry: Entry) -> str:
        """Do it, as the other side does."""
        if entry.target.startswith("keyed") and entry.key in self.keys:
            return self.keys[entry.key]
        self.applied[entry.target].append(entry.payload["event"])
        return self.keys.setdefault(entry.key, f"done {entry.payload['event']}")


class FaultySender:
    """A connector of one target, with everything that can go wrong between it and the other side."""

    def __init__(self, world: World, target: str) -> None:
        self.world = world
        self.idempotent = target.startswith("keyed")
        self.reads_back = target.startswith("asked")

    def send(self, entry: Entry) -> str | None:
        world = self.world
        world.step()
        world.let_the_other_work()
        if entry.payload.get("bad"):
            raise SendRefused("status 422: bad")
        fault = world.fault()
        if fault == "unreachable":
            raise SendLater("no route", unreachable=True)
        if fault == "busy":
            raise SendLater("status 429", retry_after_s=world.random.choice([0.0, 3.0, 120.0, 9e9]), not_sent=True)
        if fault == "busy without a time":
            raise SendLater("status 429", not_sent=True)
        if fault == "failed before":
            raise SendLater("status 500")
        if fault == "bug before":
            raise KeyError("token sk-123")
        receipt = world.remote.apply(entry)
        world.step()
        world.let_the_other_work()
        if fault == "lost reply":
            raise SendLater("no answer in 30 s")
        if fault == "bug after":
            raise ValueError("not JSON")
        return receipt

    def read_back(self, entry: Entry) -> bool:
        self.world.step()
        if self.world.fault() in {"unreachable", "busy"}:
            raise SendLater("no route", unreachable=True)
        return entry.payload["event"] in self.world.remote.applied[entry.target]


FAULTS = (
    "unreachable",
    "busy",
    "busy without a time",
    "failed before",
    "bug before",
    "lost reply",
    "lost reply",
    "bug after",
)


class Worker:
    """A process with the outbox open. ``alive`` until it crashes; then another takes its place."""

    def __init__(self, world: World) -> None:
        self.world, self.alive = world, True
        self.outbox = Outbox(world.folder, key=KEY, now=lambda: world.now)

    def bury(self) -> None:
        """What the system does with a killed process: its locks are gone, and the next to come undoes what it had not committed."""
        db = self.outbox.file._db
        if db is not None:
            db.rollback()
            db.close()

    def deliver(self) -> None:
        """One look at every line that is due."""
        for target in self.outbox.heads():
            deliver_line(
                self.outbox, target, FaultySender(self.world, target), roll=self.world.random.random, clock=self.world.clock
            )  # fmt: skip


class World:
    """One seeded schedule: puts, deliveries by two workers, repairs, faults, crashes, jumps of the clock; then the audit."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.random = random.Random(seed)
        self.now, self.forward = 1_800_000_000.0, 0.0
        self.fault_rate, self.crash_rate = self.random.choice([0.1, 0.3, 0.6]), self.random.choice([0.0, 0.004, 0.02])
        self.remote = Remote(self)
        self.workers: list[Worker | None] = [None, None]
        self.at_work: list[int] = []
        self.put: list[tuple[int, str]] = []  # event and target, in the order of the puts
        self.operations: dict[int, Operation] = {}
        self.once_dead: set[int] = set()
        self.to_drop: set[int] = set()
        self.given_up: set[int] = set()
        self.crashes = 0

    # --- what goes wrong

    def fault(self) -> str:
        return self.random.choice(FAULTS) if self.random.random() < self.fault_rate else ""

    def step(self) -> None:
        """Between any two steps of whoever is at work, its process may be killed. A dead one does nothing more."""
        worker = self.workers[self.at_work[-1]]
        assert worker
        if worker.alive and self.random.random() < self.crash_rate:
            worker.alive = False
            self.crashes += 1
        if not worker.alive:
            raise Crash

    def let_the_other_work(self) -> None:
        """The other process has a turn while this one is in the middle of something."""
        if len(self.at_work) == 1 and self.random.random() < 0.05:
            self.run(1 - self.at_work[0], Worker.deliver)

    def clock(self) -> float:
        """Seconds that only go forward; now and then so many that a batch is settled early."""
        self.forward += self.random.choice([0.0, 0.0, 0.0, 0.3])
        return self.forward

    # --- who works

    def run(self, who: int, work: Callable[[Worker], Any]) -> bool:
        """Have a worker do something; False when its process was killed over it."""
        self.at_work.append(who)
        worker = None
        try:
            worker = self.workers[who] or Worker(self)
            self.workers[who] = worker
            work(worker)
            return True
        except Crash:
            self.workers[who] = None
        finally:
            self.at_work.pop()
        if worker:
            worker.bury()
        return False

    def surely(self, work: Callable[[Worker], Any]) -> None:
        """A caller that begins anew after each kill."""
        while not self.run(self.random.randrange(2), work):
            continue

    # --- what happens

    def play(self) -> None:
        left, rounds = list(range(EVENTS)), 0
        while left or self.waiting():
            rounds += 1
            assert rounds < 2_000, "it does not come to an end"
            if rounds > GOOD_AFTER:
                self.fault_rate = self.crash_rate = 0.0
            if left:
                count = self.random.randint(1, 12)
                self.put_some(left[:count])
                left = left[count:]
            self.run(self.random.randrange(2), Worker.deliver)
            self.repair()
            self.now += self.random.uniform(0, 30.0)
            if self.random.random() < 0.05:
                self.now += self.random.choice([-86_400.0, -3_600.0, -5.0, 5.0, 3_600.0, 86_400.0])
            if not left:
                self.now += self.random.choice([60.0, 900.0, 86_400.0])

    def waiting(self) -> int:
        found: list[int] = []
        self.surely(lambda worker: found.append(len(worker.outbox.entries())))
        return found[-1]

    def put_some(self, events: list[int]) -> None:
        for event in events:
            target, holds = self.random.choice(TARGETS), self.random.random() < 0.3
            payload = {"event": event, "bad": self.random.random() < 0.03}
            self.put.append((event, target))
            self.operations[event] = Operation(target, "log", payload, id=f"e{event}", holds=holds)
            self._put(event)
            if self.random.random() < 0.1:  # a caller that does not know whether it did, long after
                self._put(self.random.randrange(event + 1))

    def _put(self, event: int) -> None:
        self.surely(lambda worker: worker.outbox.put_all([self.operations[event]]))

    def repair(self) -> None:
        """A person looks at the dead letters."""
        dead: list[Entry] = []
        self.surely(lambda worker: dead.extend(worker.outbox.entries(state="dead")))
        for entry in dead:
            event = entry.payload["event"]
            self.once_dead.add(event)
            if self.random.random() < 0.5:
                self.surely(lambda worker, entry=entry: self._repair(worker, entry))  # type: ignore[misc]

    def _repair(self, worker: Worker, entry: Entry) -> None:
        event, outbox = entry.payload["event"], worker.outbox
        arrived = event in self.remote.applied[entry.target]
        try:
            if arrived or (entry.payload["bad"] and self.random.random() < 0.3):
                self.to_drop.add(event)
                repair.drop(outbox, entry.id)
            elif entry.payload["bad"] and self.random.random() < 0.8 and not entry.unsure:
                repair.edit(outbox, entry.id, {"event": event, "bad": False})
            else:
                repair.retry(outbox, entry.id)
        except OutboxError:  # it was done before the kill
            assert self.crashes

    # --- the audit

    def read_receipts(self) -> None:
        """What a person has dropped, and the outbox knows to be dropped, without its having arrived."""
        receipts = Outbox(self.folder, key=KEY).receipts(EVENTS)
        dropped = {int(receipt.id[1:]) for receipt in receipts if not receipt.was_sent}
        self.given_up = (dropped & self.to_drop) - {event for done in self.remote.applied.values() for event in done}

    def audit(self) -> list[str]:
        """What was lost, doubled or out of order."""
        wrong = []
        for target in TARGETS:
            applied = self.remote.applied[target]
            due = [event for event, of in self.put if of == target]
            wrong += [
                f"lost {event} of {target}" for event in due if event not in applied and event not in self.given_up
            ]
            wrong += [f"doubled {event} of {target}" for event in set(applied) if applied.count(event) > 1]
            wrong += [f"never put {event}" for event in applied if event not in due]
            kept = [event for event in applied if event not in self.once_dead or self.operations[event].holds]
            if kept != sorted(kept):
                wrong.append(f"order of {target}: {kept}")
        return wrong


class DyingConnection(sqlite3.Connection):
    """A connection of the worker at work, whose process may be killed before and after each statement."""

    world: World

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self.world.step()
        done = super().execute(*args)
        try:
            self.world.step()
        except Crash:
            done.close()  # what reads holds a lock for as long as somebody knows of it: the traceback does
            raise
        worker = self.world.workers[self.world.at_work[-1]]
        if args[0] == "COMMIT" and worker and worker.outbox.file._db is self:  # not while it is still being opened
            self.world.let_the_other_work()
        return done

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        self.world.step()
        done = super().executemany(*args)
        self.world.step()
        return done


def play(seed: int, folder: Path) -> World:
    """Play one schedule in an empty folder."""
    world = World(seed, folder)
    real = sqlite3.connect
    kind = type("Connection", (DyingConnection,), {"world": world})

    def connect(path: Path, **options: Any) -> sqlite3.Connection:
        return real(path, factory=kind, **options)

    sqlite_file.sqlite3.connect = connect  # type: ignore[attr-defined]
    try:
        world.play()
    finally:
        sqlite_file.sqlite3.connect = real  # type: ignore[attr-defined]
        for worker in world.workers:
            if worker:
                worker.outbox.file._db = None
    world.read_receipts()
    return world
