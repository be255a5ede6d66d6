"""The catalog: connectors by name, each loaded when it is first needed and run in its own lane; a third party's in a process of its own.

Implements :class:`peft_studio.core.ports.catalog.Catalog`. Knows no platform and stores no key.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from peft_studio.connectors.base.clauses import broken_contract, find_class_faults, find_info_faults
from peft_studio.connectors.catalog.host import LOAD_S, Host
from peft_studio.connectors.catalog.lane import Lane, Pending, log
from peft_studio.connectors.catalog.process import START_S
from peft_studio.connectors.catalog.sources import Source, find_sources, load_object
from peft_studio.connectors.catalog.switches import Switches, read_wanted
from peft_studio.core.errors import BadConnector, ConnectorError, StudioError, nearest
from peft_studio.core.ports.catalog import Health
from peft_studio.core.ports.platform import Capability, ConnectorInfo, Keys, Role, Value
from peft_studio.core.redact import REDACTOR

V = TypeVar("V", bound=Value)

NO_KEYS: Keys = {}


class Catalog:
    """The connectors of this process.

    Args:
        home: Holds the switches.
        sources: Instead of the installed entry points.
        redact: Takes secrets out of what connectors' exceptions say.
        gate: Asked before each call; raises where it must not be made now.
        tell: Told how each call ended, on the call's own thread.
    """

    def __init__(
        self,
        home: Path,
        *,
        sources: Iterable[Source] | None = None,
        redact: Callable[[str], str] = REDACTOR.text,
        gate: Callable[[ConnectorInfo], None] = lambda info: None,
        tell: Callable[[ConnectorInfo, ConnectorError | None], None] = lambda info, error: None,
    ) -> None:
        self._gate, self._tell = gate, tell
        self._switches = Switches(home)
        self._sources = sources
        self._redact = redact
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._hosts: dict[str, Host] = {}  # of those in a process of their own
        self._infos: dict[str, ConnectorInfo] | None = None
        self._refused: dict[str, BadConnector] = {}
        self._keys: dict[str, Keys] = {}
        self._made: dict[str, Any] = {}

    def list_infos(self, role: Role | None = None) -> list[ConnectorInfo]:
        """Those that are sound, enabled and asked for, by title."""
        shown = (info for info in self._found().values() if self.is_enabled(info.name))
        return sorted(
            (info for info in shown if role is None or role in info.roles), key=lambda info: info.title.lower()
        )

    def list_hidden(self) -> list[ConnectorInfo]:
        """Those that are sound and not shown, by title."""
        hidden = (info for info in self._found().values() if not self.is_enabled(info.name))
        return sorted(hidden, key=lambda info: info.title.lower())

    def get_info(self, name: str) -> ConnectorInfo:
        """One of them, enabled or not.

        Raises:
            BadConnector: It was refused; with every clause it breaks.
            StudioError: There is none of that name.
        """
        found = self._found()
        if name in self._refused:
            raise self._refused[name]
        if name not in found:
            raise StudioError(f"There is no connector {name!r}.", hint=nearest(name, found))
        return found[name]

    @property
    def refused(self) -> Mapping[str, BadConnector]:
        """Those that break the contract, each with every clause it breaks."""
        self._found()
        return dict(self._refused)

    def health(self, name: str) -> Health:
        """How its last call went."""
        self.get_info(name)
        return self._lanes[name].health

    def find_reason(self, name: str, capability: Capability) -> str:
        """Why a connector cannot do something, in its own sentence; empty where it can. Loads it, and asks its platform nothing."""
        info = self.get_info(name)
        if host := self._hosts.get(name):
            apart = host.stand_in()
            pending = self._lanes[name].start(lambda: apart.unsupported, deadline_s=START_S + LOAD_S, cut=apart.cut)
        else:
            pending = self._lanes[name].start(lambda: _load_class(info).unsupported, deadline_s=LOAD_S)
        return str(pending.result().get(capability, ""))

    def attach(self, name: str, keys: Keys) -> None:
        """From now on its calls are made with these keys."""
        self.get_info(name)
        with self._lock:
            before, self._keys[name] = self._keys.get(name, NO_KEYS), dict(keys)
            self._made.pop(name, None)
        if name in self._hosts and before and before != keys:
            self._hosts[name].rest()  # it holds keys that are not wanted any more

    def start(self, name: str, kind: type[V], work: Callable[[Any], Any], *, deadline_s: float) -> Pending[V]:
        """Begin ``work(connector)`` in its lane; returns at once. The result is checked field by field to be a ``kind``."""
        info = self.get_info(name)
        self._gate(info)
        apart = self._hosts[name].stand_in(self._keys.get(name)) if name in self._hosts else None

        def call() -> V:
            try:
                value = _checked(name, kind, work(self._connector(info) if apart is None else apart))
            except ConnectorError as exc:
                self._tell(info, exc)
                raise
            self._tell(info, None)
            return value

        if apart is None:
            return self._lanes[name].start(call, deadline_s=deadline_s)
        return self._lanes[name].start(call, deadline_s=deadline_s, cut=apart.cut)

    def call(self, name: str, kind: type[V], work: Callable[[Any], Any], *, deadline_s: float) -> V:
        """The same, waited for.

        Raises:
            ConnectorError: What the connector raised, or what it did wrong.
        """
        return self.start(name, kind, work, deadline_s=deadline_s).result()

    def enable(self, name: str) -> None:
        """Show it again."""
        self.get_info(name)
        self._switches.set(name, disabled=False)

    def disable(self, name: str) -> None:
        """Hide it, in every process that opens this home. One that was refused can be hidden, too."""
        if name not in self.refused:
            self.get_info(name)
        self._switches.set(name, disabled=True)
        if name in self._hosts:
            self._hosts[name].rest()

    def is_enabled(self, name: str) -> bool:
        """Whether it is shown: not disabled in this home, and among those that PEFT_STUDIO_CONNECTORS asks for."""
        wanted = read_wanted()
        return name not in self._switches.read_disabled() and (wanted is None or name in wanted)

    def _found(self) -> dict[str, ConnectorInfo]:
        with self._lock:
            if self._infos is None:
                self._infos = self._register()
            return self._infos

    def _register(self) -> dict[str, ConnectorInfo]:
        """Load what every entry point says of itself, all at once, each in its own lane."""
        sources, taken = (list(self._sources), {}) if self._sources is not None else find_sources()
        for name, reason in taken.items():
            log.warning("refused: %s", reason)
            self._refused[f"{name} (second)"] = BadConnector(reason, hint="Uninstall one of the two.", platform=name)
        loading = {}
        for source in sources:
            loading[source.name] = self._load(source)
        found = {}
        for name, pending in loading.items():
            try:
                info = found[name] = pending.result()
            except StudioError as exc:
                self._refuse(name, exc)
            else:
                self._lanes[name].title = info.title
        log.info("registered: %s", ", ".join(sorted(found)))
        if unknown := (read_wanted() or frozenset()) - found.keys():
            log.warning("PEFT_STUDIO_CONNECTORS names what is not there: %s", ", ".join(sorted(unknown)))
        return found

    def _load(self, source: Source) -> Pending[ConnectorInfo]:
        """Begin to read what an entry point leads to."""
        lane = self._lanes[source.name] = Lane(source.name, source.name, redact=self._redact)
        if not source.place:
            return lane.start(functools.partial(_read_info, source), deadline_s=LOAD_S)
        host = self._hosts[source.name] = Host(lane, source.place)
        apart = host.stand_in()
        return lane.start(functools.partial(apart.read_info, LOAD_S), deadline_s=START_S + LOAD_S, cut=apart.cut)

    def _refuse(self, name: str, exc: StudioError) -> None:
        error = exc if isinstance(exc, BadConnector) else BadConnector(exc.message, hint=exc.hint, platform=name)
        self._refused[name] = error
        log.warning("refused: %s", error.message)

    def _connector(self, info: ConnectorInfo) -> Any:
        """The connector itself, made at its first use; runs in its lane."""
        with self._lock:
            keys, made = self._keys.get(info.name, NO_KEYS), self._made.get(info.name)
        if made is not None:
            return made
        made = _load_class(info)(keys)
        with self._lock:
            if self._keys.get(info.name, NO_KEYS) is keys:
                self._made[info.name] = made
        return made


def _read_info(source: Source) -> ConnectorInfo:
    """What an entry point leads to; runs in its lane."""
    found = source.load()
    if faults := find_info_faults(source.name, found):
        raise broken_contract(source.name, faults)
    return ConnectorInfo.model_validate(found)


def _load_class(info: ConnectorInfo) -> Any:
    """The connector's class, found to keep to its contract; runs in its lane."""
    cls = load_object(info.connector)
    if faults := find_class_faults(info, cls):
        raise broken_contract(info.name, faults)
    return cls


def _checked(name: str, kind: type[V], value: Any) -> V:
    if not isinstance(value, kind):
        raise broken_contract(name, [f"it gave a {type(value).__name__} where a {kind.__name__} belongs"])
    return kind.model_validate(value)
