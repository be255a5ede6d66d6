"""Follows a run on a rented machine: brings it what it needs, writes down here what happens there, fetches what it made.

Looks at how things stand and never remembers: whoever takes over after a crash does the same from what is on disk and what the machine says.
Whether the machine is kept is not decided here; that it got on with it, and that everything is home, is told to the store.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from peft_studio.core.errors import ConnectorError, RentError, StudioError
from peft_studio.core.ports.node import Chunk, Node
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import build_failure
from peft_studio.core.runs.metrics import read_last
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.rent.bring import Bringer
from peft_studio.core.services.rent.furnish import Furnisher, TokenOf, find_newest_there
from peft_studio.core.services.rent.lease import Lease
from peft_studio.core.services.rent.moment import Now
from peft_studio.core.services.rent.record import Record
from peft_studio.core.services.rent.store import Store
from peft_studio.core.services.rent.tell import HomeLoad, Teller, why_ended
from peft_studio.core.services.rent.troubles import LOOK_S, Troubles, is_of_our_disk

TOLD_S = 10.0  # how often the store hears that the run gets on
MOST_STARTS = 3  # of an agent that dies without a word, on one machine
FILES = ("metrics", "system")
# What its metrics file alone does not tell: that one is made before the model is loaded.
TRAINS = ("training", "evaluating", "saving")
NO_ROOM = 507  # the door says so of a full disk
SMALL_DISK = "A base model that a hub has is not sent: the machine fetches it itself. Otherwise take a smaller one."

NoteStart = Callable[[Record, float, float | None], None]
"""Told of each machine that came to train: seconds from the request to buy until its door answered, and how long it installed."""
Reach = Callable[[Record], Node | None]
"""The way to a record's machine; None while it has no address."""


class Follower:
    """One attempt of one run. ``model``: the base model's folder where the machine cannot get it from a hub, else who has the hub's token for it.

    Args:
        stop: Set, it lets go within a second; the machine goes on.
        note_start: Told how long a machine took to answer and to install.
    """

    def __init__(
        self, label: str, mirror: Mirror, *, store: Store, reach: Reach, now: Now, stop: threading.Event, model: Path | TokenOf | None = None,
        note_start: NoteStart = lambda record, seconds, install_s: None,
    ) -> None:  # fmt: skip
        self._label, self._mirror, self._folder = label, mirror, mirror.folder
        self._store, self._reach, self._now, self._stop = store, reach, now, stop
        self._bring, self._note_start = Bringer(mirror, note_took=self._note_took), note_start
        self._tell, self._load, self._record = Teller(mirror), HomeLoad(mirror, None), store.find(label)
        offer = self._record.intent.offer if self._record else None
        self._furnisher = Furnisher(mirror, model, offer=offer, gets_on=self._gets_on, pause=self._pause)
        if self._record:
            self._load = HomeLoad(mirror, self._record.intent.idle_s)
        self._starts, self._told_at, self._looked_at = 0, float("-inf"), float("-inf")
        self._ended = self._trains = False
        self._finished: ev.Finished | None = None
        self._troubles = Troubles(mirror.folder, label)

    def follow(self) -> None:
        """Until all is home, or the machine is to be gone, or somebody sets ``stop``."""
        while not self._over():
            wait_s = LOOK_S
            try:
                if self._visit():
                    return
                self._mirror.beat()
            except (StudioError, OSError) as exc:
                wait_s = self._troubles.note(exc)
                if not self._is_unheard(exc):
                    self._mirror.beat()
            self._stop.wait(wait_s)

    def _is_unheard(self, exc: Exception) -> bool:
        """Whether the run has begun over there and its machine does not answer: then it shows when it was last heard."""
        phases = self._mirror.state.phases
        begun = bool(phases) and phases[-1].phase not in ev.ELSEWHERE
        return begun and isinstance(exc, ConnectorError) and not is_of_our_disk(exc)

    def _visit(self) -> bool:
        record = self._store.find(self._label)
        node = self._reach(record) if record else None
        if node is None:
            self._wait_for_machine(record)
            return False
        with contextlib.closing(node), Lease(node):
            done = self._attend(node)
        self._note_disk()
        return done

    def _over(self) -> bool:
        """Whether there is nothing more to follow. A disk that does not answer ends nothing."""
        if self._stop.is_set() or time.monotonic() - self._looked_at < LOOK_S:
            return self._stop.is_set() or self._ended
        self._looked_at = time.monotonic()
        with contextlib.suppress(RentError):
            self._record = record = self._store.find(self._label)
            self._ended = record is None or not record.open or bool(record.done.leaving or record.wish.end)
        return self._ended

    def _pause(self) -> bool:
        self._stop.wait(LOOK_S)
        return not self._over()

    def _wait_for_machine(self, record: Record | None) -> None:
        if record is not None and not self._mirror.state.is_terminal:
            where = "waiting for the cluster" if record.in_line else record.intent.provider
            self._mirror.phase("provisioning" if record.done.made == "made" else "requested", where)

    def _attend(self, node: Node) -> bool:
        """One visit; whether all is home."""
        status = node.status()
        there = node.list_files()
        if "events.jsonl" not in there:
            if not self._furnish(node):
                return True
        elif status.wants:
            self._furnisher.give_again(node, status.wants)
        elif not (status.agent or status.starting):
            self._catch_up(node)
            if self._finished is None:
                self._start_again(node)
        if self._finished is None:
            self._listen(node)
            self._catch_up(node)
        if self._finished is None or self._over():
            return False
        # It did, while nobody was here; fetching may take longer than the patience for one that did not.
        self._gets_on(trains=True)
        with contextlib.suppress(RentError):
            self._store.wish_fetching(self._label)
        self._bring.home(node, self._finished)
        record = self._store.find(self._label)
        self._store.wish_end(self._label, why_ended(record, self._mirror, self._finished) if record else "stopped")
        with contextlib.suppress(ConnectorError):  # the sooner way; whoever watches ends it in any case
            node.let_go()
        return True

    def _furnish(self, node: Node) -> bool:
        """Whether what it needs has a place there."""
        record, answered_at = self._store.find(self._label), self._now()
        try:
            installed_s = self._furnisher.furnish(node)
        except ConnectorError as exc:
            if exc.status != NO_ROOM:
                raise
            self._give_up(exc)
            return False
        if record and record.done.asked_at:
            self._note_start(record, answered_at.past(record.done.asked_at), installed_s)
        return True

    def _give_up(self, exc: ConnectorError) -> None:
        """What it needs does not fit on its machine, and the next one would have the same disk."""
        message = f"What the run needs does not fit on the disk of its machine. {exc.message}"
        failure = build_failure("disk_full", message, spec=None, hint=SMALL_DISK)
        self._mirror.say(ev.Finished(state="failed", failure=failure))
        self._store.wish_end(self._label, "stopped")

    def _start_again(self, node: Node) -> None:
        """It never started, or its agent died without a word: from its newest checkpoint, a few times."""
        self._starts += 1
        if self._starts > MOST_STARTS:  # what is there comes home, and its machine is paid for no longer
            message = f"Its agent has ended {self._starts} times on its machine without a word; the end of agent.log may say why."
            self._finished = ev.Finished(state="failed", failure=build_failure("machine_lost", message, spec=None))
            return
        self._furnisher.start(node, from_step=find_newest_there(list(node.list_files())))

    def _listen(self, node: Node) -> None:
        """Write down what comes, until the job has ended or its machine is not to be heard."""
        metrics, system = map(self._mirror.size_of, FILES)
        stream = node.stream(after=self._mirror.state.last_seq, metrics=metrics, system=system, over=self._over)
        with contextlib.closing(stream):
            for message in stream:
                if isinstance(message, Chunk):
                    self._mirror.take_bytes(FILES[message.file], message.offset, message.data)
                    if message.file == 0 or self._trains or self._works():
                        self._gets_on(trains=self._mirror.state.state in TRAINS)
                elif isinstance(message, ev.Finished):
                    self._finished = message
                    return
                else:
                    self._mirror.take(message)
                    self._gets_on(trains=isinstance(message, ev.Planned))
                    if isinstance(message, ev.CheckpointSaved):
                        self._bring.checkpoint(node, message)
                if self._over():
                    return
                self._note_disk()
                self._obey(node)

    def _note_disk(self) -> None:
        """What comes is written; a checkpoint that has no place here is told of."""
        if self._bring.trouble is None:
            self._troubles.over()
        else:
            self._troubles.note(self._bring.trouble)

    def _obey(self, node: Node) -> None:
        """See to what is decided about the machine, and tell what its load says about it."""
        if (record := self._record) is None:
            return
        verdict = self._load.judge()
        if verdict != record.wish.idle and record.wish.idle != "stop":
            with contextlib.suppress(RentError):
                self._store.wish_idle(self._label, verdict)
                self._record = self._store.find(self._label)
        self._tell.pass_on(node, self._record or record)

    def _note_took(self, seconds: float) -> None:
        with contextlib.suppress(RentError):
            self._store.wish_took(self._label, seconds)

    def _works(self) -> bool:
        """Whether its trainer did anything between the last two looks: an agent sends figures of one that hangs, too."""
        rows = read_last(self._folder.system)
        return bool(rows) and rows[-1].values.get("cpu_percent", 0.0) > 0

    def _catch_up(self, node: Node) -> None:
        """What its log has and ours has not: the agent is gone, and its files are all that is left to ask. Its last word is held back."""
        *before, last = self._bring.read_log(node)
        for event in before:
            self._mirror.take(event)
        if isinstance(last, ev.Finished):
            self._finished = last
        else:
            self._mirror.take(last)

    def _gets_on(self, *, trains: bool = False) -> None:
        """Tell the store, now and then; that it trains, at once."""
        if time.monotonic() - self._told_at < TOLD_S and (self._trains or not trains):
            return
        self._told_at, self._trains = time.monotonic(), self._trains or trains
        with contextlib.suppress(RentError):
            self._store.wish_moved(self._label, self._now(), ready=self._trains)
