"""Follows a run on a rented machine: brings it what it needs, writes down here what happens there, fetches what it made.

Looks at how things stand and never remembers: whoever takes over after a crash does the same from what is on disk and what the machine says.
Whether the machine is kept is not decided here; that it got on with it, and that everything is home, is told to the store.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from peft_studio.core.errors import ConnectorError, RentError, StudioError
from peft_studio.core.ports.node import Chunk, Node
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import find_newest
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.services.rent.bring import Bringer
from peft_studio.core.services.rent.luggage import build_package, pack, write_spec
from peft_studio.core.services.rent.moment import Now
from peft_studio.core.services.rent.record import Record
from peft_studio.core.services.rent.store import Store

LOOK_S = 1.0  # between two looks at a machine that does not answer yet
TOLD_S = 10.0  # how often the store hears that the run gets on
MOST_STARTS = 3  # of an agent that dies without a word, on one machine
FILES = ("metrics", "system")
log = logging.getLogger("peft_studio.rent")

NoteStart = Callable[[Record, float, float | None], None]
"""Told of each machine that came to train: seconds from the request to buy until its door answered, and how long it installed."""
Reach = Callable[[Record], Node | None]
"""The way to a record's machine; None while it has no address."""


class Follower:
    """One attempt of one run. ``model``: the base model's folder where the machine cannot get it from a hub.

    Args:
        stop: Set, it lets go within a second; the machine goes on.
        note_start: Told how long a machine took to answer and to install.
    """

    def __init__(
        self, label: str, mirror: Mirror, *, store: Store, reach: Reach, now: Now, stop: threading.Event, model: Path | None = None,
        note_start: NoteStart = lambda record, seconds, install_s: None,
    ) -> None:  # fmt: skip
        self._label, self._mirror, self._folder = label, mirror, mirror.folder
        self._store, self._reach, self._now, self._stop, self._model = store, reach, now, stop, model
        self._bring, self._note_start = Bringer(mirror), note_start
        self._starts, self._told_at, self._looked_at = 0, float("-inf"), float("-inf")
        self._ended = self._trains = False
        self._finished: ev.Finished | None = None
        self.trouble = ""  # what the last visit met with

    def follow(self) -> None:
        """Until all is home, or the machine is to be gone, or somebody sets ``stop``."""
        while not self._over():
            try:
                if self._visit():
                    return
            except StudioError as exc:
                if str(exc) != self.trouble:
                    self.trouble = str(exc)
                    log.warning("%s: %s", self._label, self.trouble)
            self._mirror.beat()
            self._stop.wait(LOOK_S)

    def _visit(self) -> bool:
        record = self._store.find(self._label)
        node = self._reach(record) if record else None
        if node is None:
            self._wait_for_machine(record)
            return False
        with contextlib.closing(node), _Lease(node):
            done = self._attend(node)
        self.trouble = ""
        return done

    def _over(self) -> bool:
        """Whether there is nothing more to follow. A disk that does not answer ends nothing."""
        if self._stop.is_set() or time.monotonic() - self._looked_at < LOOK_S:
            return self._stop.is_set() or self._ended
        self._looked_at = time.monotonic()
        with contextlib.suppress(RentError):
            record = self._store.find(self._label)
            self._ended = record is None or not record.open or bool(record.done.leaving or record.wish.end)
        return self._ended

    def _wait_for_machine(self, record: Record | None) -> None:
        if record is not None and not self._mirror.state.is_terminal:
            where = "waiting for the cluster" if record.in_line else record.intent.provider
            self._mirror.phase("provisioning" if record.done.made == "made" else "requested", where)

    def _attend(self, node: Node) -> bool:
        """One visit; whether all is home."""
        status = node.status()
        there = node.list_files()
        if "events.jsonl" not in there:
            self._furnish(node)
        elif not (status.agent or status.starting):
            self._catch_up(node)
            if self._finished is None:
                self._start_again(node)
        if self._finished is None:
            self._listen(node)
            self._catch_up(node)
        if self._finished is None or self._over():
            return False
        self._bring.home(node, self._finished)
        self._store.wish_end(self._label, "completed" if self._finished.state == "completed" else "stopped")
        return True

    def _furnish(self, node: Node) -> None:
        """Send everything. Our log goes last: from then on the machine writes it, and nobody here."""
        record, answered_at = self._store.find(self._label), self._now()
        self._mirror.phase("sending")
        with tempfile.TemporaryDirectory() as made:
            node.upload(build_package(Path(made) / "package.whl"), "package.whl")
            self._gets_on()
            spec = write_spec(
                self._folder.load_spec(), Path(made) / "spec.json", there=node.status().folder, model=self._model
            )
            node.upload(spec, "spec.json")
        items = pack(self._folder, model=self._model)
        for item in items:
            if item.name != "events.jsonl":
                node.upload(item.path, item.name)
                self._gets_on()
        self._until_ready(node)
        for item in items:
            if item.name == "events.jsonl":
                node.upload(item.path, item.name)
        node.start(from_step=find_newest(self._folder.checkpoints) or 0)
        if record and record.done.asked_at:
            installed = [phase.seconds for phase in node.status().phases if phase.name == "installing"]
            self._note_start(record, answered_at.past(record.done.asked_at), installed[0] if installed else None)

    def _until_ready(self, node: Node) -> None:
        """Until what training needs is installed there. As long as it prints or its disk fills, it gets on with it."""
        seen: object = None
        while not self._over():
            status = node.status()
            if status.phase in ("ready", "failed"):
                return
            signs = status.phase, status.log[-1:], status.free_bytes
            if signs != seen:
                self._gets_on()
            seen = signs
            self._mirror.phase("installing" if status.phase == "installing" else "sending", status.phase)
            self._mirror.beat()
            self._stop.wait(LOOK_S)

    def _start_again(self, node: Node) -> None:
        """It never started, or its agent died without a word: from its newest checkpoint, a few times."""
        self._starts += 1
        if self._starts > MOST_STARTS:
            self._store.wish_moved(self._label, self._now())
            raise ConnectorError(f"The agent of {self._folder.id} dies again and again on its machine.")
        steps = [
            int(name.split("/")[1].removeprefix("checkpoint-")) for name in node.list_files() if _is_manifest(name)
        ]
        node.start(from_step=max(steps, default=0))

    def _listen(self, node: Node) -> None:
        """Write down what comes, until the job has ended or its machine is not to be heard."""
        metrics, system = map(self._mirror.size_of, FILES)
        stream = node.stream(after=self._mirror.state.last_seq, metrics=metrics, system=system, over=self._over)
        with contextlib.closing(stream):
            for message in stream:
                if isinstance(message, Chunk):
                    self._mirror.take_bytes(FILES[message.file], message.offset, message.data)
                    self._gets_on(trains=message.file == 0)
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


class _Lease:
    """Tells a machine that its owner is there, while a ``with`` block lasts."""

    def __init__(self, node: Node) -> None:
        self._node, self._left = node, threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def _renew(self) -> None:
        while not self._left.is_set():
            with contextlib.suppress(ConnectorError):
                self._node.renew_lease()
            self._left.wait(20.0)  # of a lease that is ten minutes long by default, and never shorter than one

    def __enter__(self) -> _Lease:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._left.set()


def _is_manifest(name: str) -> bool:
    parts = name.split("/")
    return (
        len(parts) == 3
        and parts[0] == "checkpoints"
        and parts[1].startswith("checkpoint-")
        and parts[2] == "MANIFEST.json"
    )
