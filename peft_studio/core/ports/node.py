"""A rented machine from within: its door. What is sent there, what starts, what it tells, what is fetched. Buying it is told elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from peft_studio.core.ports.platform import Sentence, Value, Word
from peft_studio.core.redact import Secret
from peft_studio.core.runs.events import Event


class NodePhase(Value):
    """A phase of the machine before its run's own: booting, waiting, installing, ready or failed."""

    name: Word
    seconds: NonNegativeFloat


class NodeStatus(Value):
    """How a machine stands.

    Attributes:
        log: The end of what its boot printed.
        agent: An agent has the run. ``starting``: one is to be started as soon as everything is there.
        folder: The run's folder there.
        secrets: Names of those that it holds for the trainer. ``wants``: of those for which it waits, for its door died and has forgotten them.
        used_s: How much of ``lifetime_s`` is over.
        ends_itself: It has a key that ends it; without one its brakes can only end the work.
    """

    phases: Annotated[tuple[NodePhase, ...], Field(max_length=100)]
    log: Annotated[tuple[Sentence, ...], Field(max_length=100)]
    agent: bool
    starting: bool
    folder: Word
    secrets: tuple[Word, ...]
    wants: tuple[Word, ...] = ()
    used_s: NonNegativeInt
    lifetime_s: NonNegativeInt
    lease_s: NonNegativeInt
    ends_itself: bool
    free_bytes: NonNegativeInt
    python: Word

    @property
    def phase(self) -> str:
        """The one it is in."""
        return self.phases[-1].name if self.phases else "booting"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a metrics file (0) or system file (1) from ``offset`` on."""

    file: int
    offset: int
    data: bytes


Message = Event | Chunk


class Node(Protocol):
    """One machine, reached over TLS or a tunnel. Its calls block, have an end of their own, and raise ConnectorError alone."""

    def status(self) -> NodeStatus:
        """How it stands."""
        ...

    def renew_lease(self) -> None:
        """Say that its owner is there."""
        ...

    def let_go(self) -> None:
        """Say that its owner has everything: it ends itself at once where it can."""
        ...

    def give_secret(self, name: str, secret: Secret) -> None:
        """Give the run a secret, which the machine keeps in memory: one whose door died has to be given it again."""
        ...

    def upload(self, path: Path, name: str, *, told: Callable[[], None]) -> None:
        """Bring a file into the run's folder, going on from what an earlier try left. ``told``: of each piece that has arrived.

        Raises:
            Corrupt: What arrived is not what was sent.
        """
        ...

    def start(self, *, from_step: int = 0, needs: tuple[str, ...] = ()) -> None:
        """Have the run's agent started as soon as our package, its spec and what it needs are there, these secrets too. Again is nothing."""
        ...

    def stream(self, *, after: int, metrics: int, system: int, over: Callable[[], bool]) -> Generator[Message]:
        """Events above ``after`` and bytes from the offsets on, none lost or doubled whatever happens to the line.

        Ends after the job's last event, with its agent, or between two tries once ``over()``.

        Raises:
            ConnectorError: The line broke and the machine does not answer; the way to it may be another by now.
        """
        ...

    def command(self, name: str, **arguments: object) -> None:
        """Have the run's agent do something.

        Raises:
            RunStateError: None answers, or it refuses.
        """
        ...

    def list_files(self) -> dict[str, int]:
        """Files of the run that may be fetched: name → size in bytes."""
        ...

    def fetch(self, *names: str, to: Path) -> None:
        """Bring files into a folder, each under its name there, whole and with the digest that the machine names."""
        ...

    def close(self) -> None:
        """Give up what connects to it; the machine goes on."""
        ...
