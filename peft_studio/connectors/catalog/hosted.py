"""The process of one connector: ``python -P -m peft_studio.connectors.catalog.hosted NAME``, started by :mod:`.host` alone.

It answers questions from its standard input on its standard output. What the connector itself prints goes to standard error. It ends
with its parent: at the end of its input, or, should a connector hold the interpreter just then, after ``hung_s``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO, Any, NoReturn

from pydantic import ValidationError

from peft_studio.connectors.base.clauses import describe, find_class_faults, find_info_faults
from peft_studio.connectors.catalog.crossing import (
    GIVES,
    Facts,
    Failed,
    called_off,
    pack_error,
    pack_progress,
    read_frame,
    unpack_arguments,
    unpack_error,
    unpack_keys,
    write_frame,
)
from peft_studio.connectors.catalog.sources import GROUP, load_object
from peft_studio.core.errors import StudioError
from peft_studio.core.ports.platform import ConnectorInfo
from peft_studio.core.redact import REDACTOR
from peft_studio.core.system import leave_with_group

BREATH_S = 1.0  # between two signs that the interpreter still runs
TELL_S = 0.1  # between two words of a transfer on how far it is


class _Broken(Exception):
    """Clauses of the contract that do not hold."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(*faults)
        self.faults = faults


class Transfer:
    """The side of a call that lives while it runs: how far it is, and whether it was called off."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self.stop = threading.Event()
        self._send = send
        self._error: StudioError | None = None
        self._sent_at = 0.0
        self._newest: list[Any] = []

    def tell(self, told: Any) -> None:
        """What a connector calls, as often as it likes."""
        if self._error is not None:
            raise self._error
        self._newest = [told]
        if time.monotonic() - self._sent_at >= TELL_S:
            self.flush()

    def flush(self) -> None:
        """Send the newest, unless it was sent."""
        while self._newest:
            self._sent_at = time.monotonic()
            self._send(pack_progress(self._newest.pop()))

    def call_off(self, error: StudioError) -> None:
        """From now on it has nobody who wants it."""
        self._error = error
        self.stop.set()


class Connector:
    """The connector of this process: loaded when first asked for, made anew when its keys change."""

    def __init__(self, name: str, place: str) -> None:
        self._name, self._place = name, place
        self._lock = threading.RLock()
        self._keys: Mapping[str, str] | None = None
        self._made: Any = None

    @functools.cached_property
    def info(self) -> ConnectorInfo:
        """What its entry point leads to."""
        found = metadata.EntryPoint(self._name, self._place, GROUP).load()
        if faults := find_info_faults(self._name, found):
            raise _Broken(faults)
        return ConnectorInfo.model_validate(found)

    @functools.cached_property
    def _class(self) -> Any:
        cls = load_object(self.info.connector)
        if faults := find_class_faults(self.info, cls):
            raise _Broken(faults)
        return cls

    def facts(self) -> Facts:
        """What its class says."""
        return Facts(
            unsupported=self._class.unsupported, verbs=tuple(verb for verb in GIVES if hasattr(self._class, verb))
        )

    def made(self, keys: Mapping[str, str]) -> Any:
        """The connector itself."""
        with self._lock:
            if self._made is None or keys != self._keys:
                secrets = unpack_keys(keys)
                for secret in secrets.values():
                    REDACTOR.add(secret)
                self._made, self._keys = self._class(secrets), keys
            return self._made

    def answer(self, message: Mapping[str, Any], transfer: Transfer) -> Any:
        """The value that a message asks for."""
        verb = message["verb"]
        if verb in ("info", "facts"):
            with self._lock:
                return self.info if verb == "info" else self.facts()
        found = getattr(self.made(message["keys"]), verb)
        live = {"tell": transfer.tell, "stop": transfer.stop}
        return found(*unpack_arguments(verb, message["given"], live)) if callable(found) else found


class Service:
    """Answers messages, each on a thread of its own."""

    def __init__(self, connector: Connector, answers: IO[bytes]) -> None:
        self._connector, self._answers = connector, answers
        self._lock = threading.Lock()
        self._running: dict[int, Transfer] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """Begin what a message asks for, or call it off."""
        number = message["id"]
        if "stop" in message:
            if transfer := self._running.get(number):
                error = message["stop"]
                transfer.call_off(unpack_error(error) if error else called_off(""))
            return
        for name, value in message.get("environment", {}).items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        self._running[number] = transfer = Transfer(lambda told: self.send({"id": number, "told": told}))
        threading.Thread(target=self._run, args=(message, transfer), daemon=True).start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Answer."""
        with self._lock:
            write_frame(self._answers, message)

    def _run(self, message: Mapping[str, Any], transfer: Transfer) -> None:
        answer = self._outcome(message, transfer)
        self._running.pop(message["id"], None)
        try:
            self.send({"id": message["id"], **answer})
        except ValueError as exc:  # too large
            self.send({"id": message["id"], "faults": [f"it gave {exc}"]})

    def _outcome(self, message: Mapping[str, Any], transfer: Transfer) -> dict[str, Any]:
        try:
            value, kind = self._connector.answer(message, transfer), GIVES[message["verb"]]
            if not isinstance(value, kind):
                return {"faults": [f"it gave a {type(value).__name__} where a {kind.__name__} belongs"]}
            packed = {"value": kind.model_validate(value).model_dump(mode="json")}
            transfer.flush()
            return packed
        except _Broken as exc:
            return {"faults": exc.faults}
        except ValidationError as exc:
            return {"faults": describe(exc)}
        except BaseException as exc:  # noqa: BLE001  # a stranger's SystemExit ends its call, not this process
            return _pack_failure(exc)


def _pack_failure(exc: BaseException) -> dict[str, Any]:
    try:
        if isinstance(exc, StudioError):
            return {"error": pack_error(exc)}
    except (AttributeError, ValidationError):
        pass  # it is not even well made
    try:
        said = str(exc)
    except Exception:  # noqa: BLE001  # it cannot even be printed
        said = "an exception that cannot be printed"
    return {"failed": Failed(kind=type(exc).__name__[:100], said=said[:2000]).model_dump(mode="json")}


def main() -> NoReturn:
    """Answer until the input ends."""
    questions, answers = _take_pipes()
    hello = read_frame(questions) or sys.exit(2)
    sys.path[:] = hello["path"]
    _bound(hello["memory_bytes"])
    threading.Thread(target=_breathe, args=(os.getppid(), hello["hung_s"]), daemon=True).start()
    service = Service(Connector(hello["name"], hello["place"]), answers)
    service.send({"id": 0})
    while (message := read_frame(questions)) is not None:
        service.take(message)
    leave_with_group(0)  # whatever still runs has nobody who waits for it


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """The pipes for us alone: who prints does not print into them, and who reads reads nothing."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return questions, answers


def _bound(memory_bytes: int) -> None:
    """What this process may take, as far as the system keeps count; and that it is the first to go when there is no memory left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the kernel that is interrupted
    faulthandler.enable()
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the image of a crash would hold keys
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
            with contextlib.suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text("1000")


def _breathe(parent: int, hung_s: float) -> None:
    """Keep a clock from running out that needs no interpreter to end this process; and look whether the parent is there."""
    while os.getppid() == parent:
        faulthandler.dump_traceback_later(hung_s, exit=True)
        time.sleep(min(BREATH_S, hung_s / 3))
    leave_with_group(0)


if __name__ == "__main__":
    main()
