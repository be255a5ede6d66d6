"""What all drills use: a user's process, RunPod, a network in between, and what must be true at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from peft_studio import Studio
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.services.rent.reconciler import is_watched
from peft_studio.core.services.run import Run
from tests.conftest import processes_of
from tests.e2e.client import Client
from tests.e2e.evidence import adapter_is_there
from tests.emulators.machine import Machine, Machines
from tests.emulators.providers import KEYS
from tests.emulators.relay import Relay

OPEN = """
from peft_studio import Studio
studio = Studio(home={home!r})
studio.connect({provider!r}, key={key!r}, keep=False)
"""
LAUNCH = """
spec, _ = studio.load({spec!r})
run = studio.launch(spec, compute=studio.offers(provider={provider!r})[0], max_usd={max_usd})
print(run.id)
"""

LONG = {"max_steps": 120, "save_steps": 40}
"""Trains for three seconds or more, so that what is done to it is done in the middle."""


@dataclass
class Drill:
    """One run on machines of one provider. ``studio`` only looks: it is not connected, and buys and ends nothing."""

    studio: Studio
    cloud: Any
    machines: Machines
    relay: Relay
    make_spec: Any
    folder: Path
    provider: str = "runpod"
    clients: list[Client] = field(default_factory=list)

    def client(self, env: Mapping[str, str] | None = None) -> Client:
        """A new process of the user's that is connected."""
        client = Client(env)
        self.clients.append(client)
        client.execute(OPEN.format(home=str(self.studio.home), provider=self.provider, key=KEYS[self.provider]))
        return client

    def launch(self, client: Client, *, max_usd: float = 5, **fields: Any) -> Run:
        """Have it rent a machine for a run; that run as we see it."""
        path = self.studio.export(self.make_spec(**fields), self.folder / "spec.json")
        cell = LAUNCH.format(spec=str(path), provider=self.provider, max_usd=max_usd)
        return self.studio.run(client.execute(cell).split()[-1])

    def watchers(self) -> list[psutil.Process]:
        """Processes that watch this home's machines."""
        found = []
        for process in processes_of(self.studio.home):
            with contextlib.suppress(psutil.Error):
                if "watch-rentals" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill_watchers(self) -> None:
        """SIGKILL to them."""
        watchers = wait_for(self.watchers, "a watcher")
        for process in watchers:
            process.kill()
        # A process that dies has lost its command line before its locks.
        wait_for(lambda: not self.watchers() and not is_watched(self.studio.home / "rent"), "its end")

    def machine(self) -> Machine:
        """The one machine that runs."""
        [machine] = self.machines.made.values()
        return machine

    def there(self, run: Run) -> list[RunFolder]:
        """The run's folders on its machines, the first machine's first; they are kept when a machine is gone."""
        homes = sorted(self.machines.root.glob("*/peft-studio/home"), key=lambda path: path.stat().st_ctime)
        return [RunFolder(home / "runs" / run.id) for home in homes]

    def processes(self, *words: str) -> list[psutil.Process]:
        """Those of the machine that have these words in their command line."""
        found = []
        for process in self.machine().processes:
            with contextlib.suppress(psutil.Error):
                if set(words) <= set(process.cmdline()):
                    found.append(process)
        return found

    def made(self) -> int:
        """How many machines were ever made."""
        return len(self.cloud.pods) + len(self.cloud.gone)

    def records(self, run: Run) -> Sequence[Any]:
        """What is written down of its machines."""
        return self.studio._machines.desk.store.list_run(run.id)

    def usd(self, run: Run) -> Decimal:
        """What its machines cost, by our ledger."""
        return run.cost

    def check_all_is_well(
        self, run: Run, *, machines: int = 1, state: str = "completed", unseen_s: float = 0.0
    ) -> None:
        """The machine is gone and was the only one; adapter, numbers and events are here, whole, once; the ledger says what RunPod charges.

        ``unseen_s``: how long a machine that ended itself may have counted as there, until the next list.
        """
        wait_for(lambda: "machine_gone" in told(run), "the proof that it is gone", timeout_s=90)
        assert run.state == state
        assert adapter_is_there(run)
        assert self.made() == machines
        assert len(self.records(run)) == machines
        assert not self.cloud.pods
        assert not any(record.open for record in self.records(run))
        check_whole(run)
        check_same(run, self.there(run)[-1])
        ours, theirs = self.usd(run), self.cloud.invoice()
        unseen = Decimal("0.39") * Decimal(unseen_s) / 3600
        assert Decimal("-0.002") < ours - theirs < Decimal("0.002") + unseen, (ours, theirs)


def wait_for(condition: Callable[[], Any], what: str, *, timeout_s: float = 120.0) -> Any:
    """As ``tests.conftest.wait_for``, for conditions that read whole logs: it looks less often."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.15)
    return answer


def told(run: Run) -> list[str]:
    """Kinds of events in its log."""
    return [event.type for event in read_events(run.folder.events)]


def phases(run: Run) -> list[str]:
    """Those that it has entered."""
    return [event.phase for event in read_events(run.folder.events) if event.type == "phase"]  # type: ignore[attr-defined]


def steps(folder: RunFolder) -> list[int]:
    """Of every row of its numbers, in their order."""
    return [row.step for row in read_metrics(folder.metrics) if "loss" in row.values]


def check_whole(run: Run) -> None:
    """Events are numbered without a gap; every step is there, and none twice but where a later job passed it again."""
    numbers = [event.seq for event in read_events(run.folder.events)]
    assert numbers == list(range(1, len(numbers) + 1))
    plan = run.read()[0].plan
    assert plan
    begins = [event.from_step for event in read_events(run.folder.events) if event.type == "job_started"]  # type: ignore[attr-defined]
    seen = steps(run.folder)
    if len(begins) == 1:
        assert seen == list(range(1, len(seen) + 1))
    assert set(range(1, max(seen) + 1)) == set(seen)


def check_same(run: Run, there: RunFolder) -> None:
    """Numbers are those of the machine to the byte, and every event of its is here under its number."""
    ours, theirs = run.folder.metrics.read_bytes(), there.metrics.read_bytes()
    assert ours == theirs
    here = {event.seq: event for event in read_events(run.folder.events)}
    for event in read_events(there.events):
        if event.type != "finished":  # held back until all is home
            assert here[event.seq] == event


class Clock:
    """Seconds since it was made or ``begin`` was called."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    @property
    def s(self) -> float:
        """How many."""
        return time.monotonic() - self.began


@contextlib.contextmanager
def outage(cloud: Any, reply: Callable[[], Any]) -> Iterator[list[str]]:
    """The provider's API answers everything with what ``reply`` gives or raises; gives what it was asked meanwhile."""
    asked: list[str] = []

    def before(request: Any) -> Any:
        asked.append(str(request))
        return reply()

    cloud.before = before
    try:
        yield asked
    finally:
        del cloud.before
