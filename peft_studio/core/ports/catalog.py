"""The list of connectors as services see it: names, switches, and calls that always come to an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from peft_studio.core.errors import BadConnector
from peft_studio.core.ports.platform import Capability, ConnectorInfo, Keys, Role, Value

V = TypeVar("V", bound=Value)
V_co = TypeVar("V_co", bound=Value, covariant=True)


@dataclass(frozen=True, slots=True)
class Health:
    """How a connector's last call went. ``reason``: a sentence, where it misbehaved. ``took_s``: until it answered, where it did."""

    ok: bool
    reason: str = ""
    took_s: float | None = None


HEALTHY = Health(ok=True)


class Pending(Protocol[V_co]):
    """A call on its way. ``began_at``: by ``time.monotonic``."""

    began_at: float

    def done(self) -> bool:
        """Whether the result is there, good or bad."""
        ...

    def when_done(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called once the result is there; at once, where it is there already. It must be quick and raise nothing."""
        ...

    def result(self, wait_s: float | None = None) -> V_co:
        """The result, waited for until the call's deadline; with ``wait_s`` no longer than that, and then Unavailable, though it goes on."""
        ...


class Catalog(Protocol):
    """Connectors by name. What strangers' code does wrong arrives here as a ConnectorError, never as anything else."""

    def list_infos(self, role: Role | None = None) -> Sequence[ConnectorInfo]:
        """Those that are sound, enabled and asked for, by title."""
        ...

    def list_hidden(self) -> Sequence[ConnectorInfo]:
        """Those that are sound and not shown, by title."""
        ...

    def get_info(self, name: str) -> ConnectorInfo:
        """One of them, enabled or not.

        Raises:
            StudioError: There is none of that name, or it was refused; says why, and what is near.
        """
        ...

    @property
    def refused(self) -> Mapping[str, BadConnector]:
        """Those that break the contract, each with every clause it breaks."""
        ...

    def health(self, name: str) -> Health:
        """How its last call went."""
        ...

    def find_reason(self, name: str, capability: Capability) -> str:
        """Why a connector cannot do something, in its own sentence; empty where it can. Loads it, and asks its platform nothing."""
        ...

    def attach(self, name: str, keys: Keys) -> None:
        """From now on its calls are made with these keys."""
        ...

    def start(self, name: str, kind: type[V], work: Callable[[Any], Any], *, deadline_s: float) -> Pending[V]:
        """Begin ``work(connector)``, whose result must be a sound ``kind``. Returns at once.

        Raises:
            Offline: It needs the network, and there is none, or there is to be none.
        """
        ...

    def enable(self, name: str) -> None:
        """Show it again."""
        ...

    def disable(self, name: str) -> None:
        """Hide it, in every process that opens this home, until it is enabled."""
        ...

    def is_enabled(self, name: str) -> bool:
        """Whether it is shown."""
        ...
