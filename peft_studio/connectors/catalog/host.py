"""A third party's connector as the kernel has it: a stand-in with the same verbs, whose calls are made in a process of its own.

Questions share one process, started by the first and kept warm. What takes long or must not end with another's hung question, a
transfer or a purchase, has one to itself. A process whose call passes its deadline is killed, whatever it is at; the next call starts
another. Keys stay here, and go along with each call.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from peft_studio.connectors.base.clauses import broken_contract, describe
from peft_studio.connectors.catalog.crossing import (
    GIVES,
    Facts,
    Failed,
    called_off,
    name_arguments,
    pack_arguments,
    pack_error,
    pack_keys,
    unpack_error,
    unpack_progress,
)
from peft_studio.connectors.catalog.lane import Lane, log
from peft_studio.connectors.catalog.process import Gone, Message, Process
from peft_studio.core.errors import BadConnector, StudioError
from peft_studio.core.markup import visible
from peft_studio.core.ports.download import Order
from peft_studio.core.ports.platform import Capability, ConnectorInfo, Keys

LOAD_S = 5.0  # for a package to import and say who it is
ALONE = frozenset({"fetch_artifact", "upload_artifact", "submit_job"})
RESTED = "was not needed any more"
SAID_CHARACTERS = 20_000  # of what a process prints, in the log


class Host:
    """Where one connector runs. ``place``: what its entry point leads to, ``module:NAME``.

    Its processes end with the kernel, with this object, or when it is told so.
    """

    def __init__(self, lane: Lane, place: str) -> None:
        self.lane = lane
        self._place = place
        self._lock = threading.Lock()
        self._warm: Process | None = None
        self._all: weakref.WeakSet[Process] = weakref.WeakSet()
        self.info: ConnectorInfo | None = None
        self.facts: Facts | None = None
        weakref.finalize(self, _end_all, self._all)

    def stand_in(self, keys: Keys | None = None) -> StandIn:
        """The connector for one call."""
        return StandIn(self, keys or {})

    def process(self, verb: str) -> Process:
        """The one that is to answer, perhaps still starting."""
        with self._lock:
            if verb in ALONE:
                return self._start(busy=True)
            if self._warm is None or not self._warm.usable():
                self._warm = self._start()
            return self._warm

    def rest(self) -> None:
        """End what is warm and not at work: it holds keys that are not wanted any more, or nobody will ask it."""
        with self._lock:
            if self._warm is not None and self._warm.idle():
                self._warm.end(RESTED)
                self._warm = None

    def _start(self, *, busy: bool = False) -> Process:
        process = Process(self.lane.name, self._place, say=_Prints(self.lane), busy=busy)
        self._all.add(process)
        return process


class StandIn:
    """A connector as a call has it. Verbs that it has are there, others are not; ``way`` is where its class has one."""

    def __init__(self, host: Host, keys: Keys) -> None:
        self._host, self._keys = host, keys
        self._process: Process | None = None
        self._is_cut = False

    @property
    def info(self) -> ConnectorInfo:
        """What it said of itself when it was registered."""
        return self._host.info or self.read_info(LOAD_S)

    @property
    def unsupported(self) -> Mapping[Capability, str]:
        """What it cannot do, and why."""
        return self._facts().unsupported

    def read_info(self, within_s: float) -> ConnectorInfo:
        """What its entry point leads to, in so much time once its process has started."""
        info: ConnectorInfo = self._ask("info", {}, over_s=within_s)
        self._host.info = info
        return info

    def cut(self) -> None:
        """Nobody waits for this call any more: end the process that is at it."""
        self._is_cut = True
        if self._process is not None:
            self._process.end("was ended because a call to it passed its deadline")

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_") or verb not in self._facts().verbs:
            raise AttributeError(f"The connector {self._host.lane.name!r} has no {verb!r}.")
        if verb == "way":
            return self._ask(verb, {})
        return lambda *given, **named: self._ask(verb, name_arguments(verb, given, named))

    def _facts(self) -> Facts:
        if self._host.facts is None:
            self._host.facts = self._ask("facts", {})
        return self._host.facts

    def _ask(self, verb: str, given: Mapping[str, Any], *, over_s: float | None = None) -> Any:
        process = self._process = self._host.process(verb)
        if self._is_cut:
            self.cut()
        try:
            process.wait_ready()
            if verb != "info":
                process.step_back()
            call = _Call(self._host.lane.name, given, None if over_s is None else time.monotonic() + over_s, self.cut)
            message = {"verb": verb, "keys": pack_keys(self._keys), "given": pack_arguments(given)}
            return self._read(verb, process.ask(message, tell=call.tell, look=call.look))
        except Gone as exc:
            if str(exc) == RESTED and not self._is_cut:  # between two questions, of which this is the second
                return self._ask(verb, given, over_s=over_s)
            raise self._gone(str(exc)) from None
        finally:
            if verb in ALONE:
                process.end("has done its work")

    def _read(self, verb: str, answer: Message) -> Any:
        name = self._host.lane.name
        try:
            if "value" in answer:
                return GIVES[verb].model_validate(answer["value"])
            if "error" in answer:
                raise unpack_error(answer["error"])
            if "failed" in answer:
                raise self._failed(Failed.model_validate(answer["failed"]))
        except ValidationError as exc:
            raise broken_contract(name, describe(exc)) from None
        raise broken_contract(name, [str(fault) for fault in answer.get("faults", ["its process gave no answer"])])

    def _failed(self, failed: Failed) -> BadConnector:
        if failed.kind == "MemoryError" and self._process is not None:
            self._process.end("had no memory left and was ended")  # nobody knows what it still holds
        return self._host.lane.failed(failed.kind, failed.said)

    def _gone(self, how: str) -> BadConnector:
        lane = self._host.lane
        return BadConnector(
            f"The process of the connector {lane.title} {how}.",
            hint=f"The next call starts it anew. If it stays, tell its author, or studio.disable({lane.name!r}).",
            platform=lane.name, may_have_happened=True,
        )  # fmt: skip


class _Call:
    """What a call has on this side while it runs: who wants to hear of it, and who may stop it."""

    def __init__(self, name: str, given: Mapping[str, Any], over_at: float | None, cut: Callable[[], None]) -> None:
        order, report = given.get("order"), given.get("report")
        self._name, self._over_at, self._cut = name, over_at, cut
        self._order = order if isinstance(order, Order) else None
        self._tell: Callable[[Any], object] = self._order.tell if self._order else report or (lambda told: None)
        self._stopped: list[StudioError] = []
        self._sent = False

    def tell(self, told: Any) -> None:
        """Pass on how far it is. What the listener raises goes to the connector, as if it had called it itself."""
        try:
            self._tell(unpack_progress(told))
        except StudioError as exc:
            self._stopped.append(exc)

    def look(self) -> Message | None:
        """What the process is to be sent: that it shall stop, once."""
        if self._over_at is not None and time.monotonic() > self._over_at:
            self._cut()
        if self._order is not None and self._order.stop.is_set():
            self._stopped.append(called_off(self._name))
        if self._sent or not self._stopped:
            return None
        self._sent = True
        return {"stop": pack_error(self._stopped[0])}


class _Prints:
    """What a process prints, in the log: whole lines, without secrets, and not without end."""

    def __init__(self, lane: Lane) -> None:
        self._lane, self._held, self._left = lane, "", SAID_CHARACTERS

    def __call__(self, piece: str) -> None:
        if self._left <= 0:
            return
        *lines, self._held = (self._held + piece).split("\n")
        if not piece or len(self._held) > SAID_CHARACTERS:
            lines, self._held = [*lines, self._held], ""
        for line in filter(str.strip, lines):
            said = visible(self._lane.clean(line))[: max(0, self._left)]
            self._left -= len(said)
            if said:
                log.info("%s printed: %s", self._lane.name, said)
        if self._left <= 0:
            log.info("%s prints more than is kept here.", self._lane.name)


def _end_all(processes: weakref.WeakSet[Process]) -> None:
    for process in list(processes):
        process.end("was ended with its studio")
