"""Bringing files from a registry: what is ordered, how far it is, what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import NonNegativeInt

from peft_studio.core.ports.platform import Sentence, Value, Word
from peft_studio.core.ports.registry import ModelFile


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is: of all that was ordered, and what is under way. ``total_bytes`` and ``bytes_per_s`` are None until known."""

    done_bytes: int
    total_bytes: int | None
    bytes_per_s: float | None
    what: str


def _silent(progress: Progress) -> None:
    """Nobody is listening."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be brought.

    Attributes:
        files: Which of the model's files; a registry that keeps its models itself brings all of the model and ignores this.
        to: The folder that they go into, made if need be; each at its path there. Its paths were looked at: none leads out of it.
        revision: The commit or version they are of.
        tell: Called with the progress a few times a second, from the thread that downloads.
        stop: Set from any thread, it calls the download off.
    """

    model: str
    files: tuple[ModelFile, ...]
    to: Path
    revision: str | None = None
    tell: Callable[[Progress], None] = _silent
    stop: threading.Event = field(default_factory=threading.Event)


class Fetched(Value):
    """What came. ``received_bytes``: what had to travel now, less than ``size_bytes`` where a part was here already; None where nobody says.

    ``kept_by``: who keeps it, where that is not the folder that was asked for.
    """

    size_bytes: NonNegativeInt | None
    received_bytes: NonNegativeInt | None = None
    kept_by: Word = ""
    note: Sentence = ""


class Downloads(Protocol):
    """The part of a registry that has Capability.DOWNLOAD."""

    def fetch_artifact(self, order: Order) -> Fetched:
        """Bring what was ordered, going on from what an earlier try left. Blocks until it is there.

        A file stands under its name only once it is whole and its digest is right. Two calls for one folder may overlap, in
        different processes too: the second waits for the first.

        Raises:
            ConnectorError: Corrupt, NoRoom and Cancelled among them. What has arrived is kept for the next try, unless it is wrong.
        """
        ...
