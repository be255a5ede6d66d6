"""A place that runs jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol, runtime_checkable

from peft_studio.core.compute.ledger import Total
from peft_studio.core.runs.events import Event
from peft_studio.core.runs.folder import RunFolder


class Compute(Protocol):
    """Starts a run's agent somewhere, and is the way to it."""

    name: str

    def submit_job(self, folder: RunFolder, *, from_step: int = 0) -> None:
        """Start an agent for a run whose folder is complete. Returns as soon as it is on its way; it outlives the caller.

        Called twice for one run it does no harm: the second agent finds the first one's lock and ends.
        """
        ...

    def stream_logs(self, folder: RunFolder, *, after: int = 0) -> Iterator[Event]:
        """Events with a number above ``after`` as they happen, each once and in order; ends when the job does.

        A broken connection is taken up again where it broke. Ends early, without an error, when the agent is gone.
        """
        ...

    def stop_job(self, folder: RunFolder, *, save: bool) -> None:
        """Ask the agent to stop; with ``save`` after the current step, keeping what was learned. Returns when it has agreed.

        Raises:
            RunStateError: No agent answers for this run.
        """
        ...

    def fetch_artifact(self, folder: RunFolder, name: str, to: Path) -> Path:
        """Copy a file of the run, named by its path inside the run folder, to ``to``; an unfinished copy is continued."""
        ...


@dataclass(frozen=True, slots=True)
class RunMeter:
    """What a run has cost over all its machines, and what its present one costs. ``usd_per_hour``: None where none is billed now.

    ``until_s``: the latest end of its machine, in seconds since 1970. ``ended``: why its last machine is gone, or is to be; empty while one is
    wanted. ``dearest_usd_per_hour``: of the machines on which it would go on.
    """

    spent: Total
    usd_per_hour: Decimal | None
    cap_usd: Decimal | None
    provider: str
    gpu: str
    label: str
    until_s: float | None
    ended: str = ""
    dearest_usd_per_hour: Decimal = Decimal(0)


@runtime_checkable
class Capped(Protocol):
    """A place whose runs have caps: one that goes on there can be given others."""

    def resume_job(
        self, folder: RunFolder, *, from_step: int, max_usd: Decimal | float | str | None, max_hours: float | None
    ) -> None:
        """Have a run go on. ``max_usd``: its cap from now on, over all that it ever cost; what is None stays as it was."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A place that costs money."""

    def read_meter(self, folder: RunFolder) -> RunMeter | None:
        """How a run's meter stands; None where nothing was rented for it."""
        ...
