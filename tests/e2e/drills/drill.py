"""What all drills use: a user's process, a provider, a network in between, and what must be true at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from peft_studio import Studio
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.services.rent.reconciler import is_watched
from peft_studio.core.services.run import Run
from tests.conftest import processes_of
from tests.e2e.client import Client
from tests.e2e.evidence import adapter_is_there
from tests.emulators import lambdalabs
from tests.emulators.machine import Machine, Machines
from tests.emulators.providers import KEYS, count_left, count_made
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

SEALED = [
    pytest.param("vastai", marks=pytest.mark.stress),
    pytest.param(
        "lambdalabs",
        marks=[pytest.mark.stress, pytest.mark.skipif(not lambdalabs.SSHD, reason="needs OpenSSH's server")],
    ),
]
"""Providers whose machines are reached by TLS of their own, or through SSH: the network sees nothing of what passes."""
EVERYWHERE = pytest.mark.parametrize("drill", ["runpod", *SEALED], indirect=True)
BUY = {
    "runpod": "POST /v2/pods",
    "vastai": "PUT /api/v0/asks/1000/",
    "lambdalabs": "POST /api/v1/instance-operations/launch",
}
LOOK = {
    "runpod": "GET /v2/pods",
    "vastai": "GET /api/v1/instances/",
    "lambdalabs": "GET /api/v1/instances",
}

PRICES = {"runpod": Decimal("0.39"), "vastai": Decimal("0.41"), "lambdalabs": Decimal("4.29")}
"""Dollars an hour of the machine that is rented, its disk included."""
ROUNDING = {"lambdalabs": Decimal("4.29") / 60}
"""Dollars of what is billed in one piece: Lambda's minute."""

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
    provider: str
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
        return living(processes_of(self.studio.home), "watch-rentals")

    def kill_watchers(self) -> None:
        """SIGKILL to them."""
        watchers = wait_for(self.watchers, "a watcher")
        for process in watchers:
            process.kill()
        # A process that dies has lost its command line before its locks.
        wait_for(lambda: not self.watchers() and not is_watched(self.studio.home / "rent"), "its end")

    def machine(self) -> Machine:
        """The one machine that runs."""
        [machine] = (one for one in self.machines if one.exit_code is None)
        return machine

    def there(self, run: Run) -> list[RunFolder]:
        """The run's folders on its machines, the first machine's first; they are kept when a machine is gone."""
        homes = sorted(self.machines.root.glob("*/peft-studio/home"), key=lambda path: path.stat().st_ctime)
        return [RunFolder(home / "runs" / run.id) for home in homes]

    def processes(self, *words: str) -> list[psutil.Process]:
        """Those of the machine that have these words in their command line."""
        return living(self.machine().processes, *words)

    def made(self) -> int:
        """How many machines were ever made."""
        return count_made(self.cloud)

    def left(self) -> int:
        """How many are there."""
        return count_left(self.cloud)

    def ended_itself(self) -> bool:
        """Whether its brakes have ended the machine: where it cannot end itself, it is switched off, and still paid for."""
        if self.provider != "lambdalabs":
            return not self.left()
        return all(one.vm.switched_off for one in self.cloud.rented)

    def tunnels(self) -> list[psutil.Process]:
        """Processes of SSH that lead to machines of this home."""
        return living(processes_of(self.studio.home), "-L")

    def records(self, run: Run) -> Sequence[Any]:
        """What is written down of its machines."""
        return self.studio._machines.desk.store.list_run(run.id)

    def usd(self, run: Run) -> Decimal:
        """What its machines cost, by our ledger."""
        return run.cost

    def check_all_is_well(
        self, run: Run, *, machines: int = 1, state: str = "completed", unseen_s: float = 0.0
    ) -> None:
        """The machine is gone and was the only one; adapter, numbers and events are here, whole, once; the ledger says what its provider charges.

        ``unseen_s``: how long a machine that ended itself may have counted as there, until the next list.
        """
        wait_for(lambda: "machine_gone" in told(run), "the proof that it is gone", timeout_s=90)
        assert run.state == state
        assert adapter_is_there(run)
        assert self.made() == machines
        assert len(self.records(run)) == machines
        assert not self.left()
        assert not any(record.open for record in self.records(run))
        check_whole(run)
        check_same(run, self.there(run)[-1])
        self.check_bill(run, unseen_s)
        wait_for(lambda: not self.tunnels(), "the end of all tunnels", timeout_s=30)

    def check_bill(self, run: Run, unseen_s: float = 0.0) -> None:
        """The ledger is never below what its provider charges by more than a few seconds, nor above it."""
        ours, theirs = self.usd(run), self.cloud.invoice()
        step, seen = ROUNDING.get(self.provider, Decimal(0)), Decimal("0.002")
        unseen = PRICES[self.provider] * Decimal(unseen_s) / 3600
        assert -seen < ours - theirs < seen + step + unseen, (ours, theirs)


def wait_for(condition: Callable[[], Any], what: str, *, timeout_s: float = 120.0) -> Any:
    """As ``tests.conftest.wait_for``, for conditions that read whole logs: it looks less often."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.15)
    return answer


def living(processes: Iterable[psutil.Process], *words: str) -> list[psutil.Process]:
    """Those of them that live and have these words in their command line."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if set(words) <= set(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


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
