"""Runs on rented machines, as everybody else sees runs: the folder at home is the truth, and is written by whoever follows the run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from peft_studio.core.errors import ConnectorError, RunStateError
from peft_studio.core.ports.compute import RunMeter
from peft_studio.core.ports.node import Node
from peft_studio.core.runs.checkpoints import discard_after
from peft_studio.core.runs.events import Event
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogReader
from peft_studio.core.services.rent.again import AS_BEFORE, NewCaps
from peft_studio.core.services.rent.meter import build_lives
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Record
from peft_studio.core.services.rent.store import Store
from peft_studio.core.services.rentals import build_run_meter
from peft_studio.core.system import is_locked

POLL_S = 0.2
GONE_S = 10.0  # that a resume waits for the machine before it to be proven gone; at most providers that takes minutes


class RentedCompute:
    """Implements :class:`peft_studio.core.ports.Compute` for the runs of one provider.

    Args:
        rent: Writes down that a machine is wanted for a run, with what of its caps is new, and has it looked after.
        reach: The way to a record's machine.
    """

    def __init__(
        self, name: str, store: Store, *, rent: Callable[[RunFolder, NewCaps], None], reach: Callable[[Record], Node | None]
    ) -> None:  # fmt: skip
        self.name = name
        self._store, self._rent, self._reach = store, rent, reach

    def submit_job(self, folder: RunFolder, *, from_step: int = 0) -> None:
        """Rent a machine for the run, which goes on from ``from_step``. One that has a machine is left alone.

        Whoever follows it sends the newest checkpoint that is here, so later ones go, as they do where a run resumes at home.
        """
        self.resume_job(folder, from_step=from_step)

    def resume_job(
        self, folder: RunFolder, *, from_step: int, max_usd: Decimal | float | str | None = None, max_hours: float | None = None
    ) -> None:  # fmt: skip
        """The same with other caps."""
        new = NewCaps(max_usd, max_hours)
        still = self._list_open_soon(folder)
        if any(map(_is_leaving, still)):
            raise RunStateError(
                f"The machine of run {folder.id} is being ended, and is not proven gone yet.",
                hint="That takes some minutes at most providers. Then run.resume() rents another one.",
            )
        if still and new != AS_BEFORE:
            raise RunStateError(
                f"Run {folder.id} has a machine, which keeps the caps that it was rented with.",
                hint="run.stop() saves what it has learned; then run.resume(max_usd=…) gives it others.",
            )
        if not still:
            # It may refuse, and then nothing is deleted; a machine asks for checkpoints once it has booted.
            self._rent(folder, new)
            discard_after(folder.checkpoints, from_step)

    def _list_open_soon(self, folder: RunFolder) -> list[Record]:
        """Its open records; those that are about to close are waited for a moment."""
        deadline = time.monotonic() + GONE_S
        while True:
            still = [record for record in self._store.list_run(folder.id) if record.open]
            if not any(map(_is_leaving, still)) or time.monotonic() >= deadline:
                return still
            time.sleep(POLL_S)

    def stream_logs(self, folder: RunFolder, *, after: int = 0) -> Iterator[Event]:
        """Events as they come home."""
        log = EventLogReader(folder.events, after=after)
        while True:
            followed = is_locked(folder.agent_lock)
            for event in log.read():
                yield event
                if event.type == "finished":
                    return
            if not followed:
                return
            time.sleep(POLL_S)

    def stop_job(self, folder: RunFolder, *, save: bool) -> None:
        """Ask the agent over there to stop; where there is none yet, or nothing is to be kept, the machine goes at once."""
        record = self._open_record(folder)
        trains = save and record.wish.ready
        node = self._reach(record) if trains else None
        if node is None and trains:
            raise RunStateError(
                f"The machine of run {folder.id} cannot be reached from this process, so nothing of the run can be saved.",
                hint=f"Unlock the vault, or studio.connect({record.intent.provider!r}), and stop it again; run.stop(save=False) ends it as it is.",
            )
        if node is None:
            self._store.wish_end(record.label, "stopped")
            return
        try:
            node.command("stop", save=save)
        except ConnectorError as exc:
            raise RunStateError(
                f"The machine of run {folder.id} does not answer: {exc.message}",
                hint="Try again; run.stop(save=False) ends it.",
            ) from exc
        finally:
            node.close()

    def fetch_artifact(self, folder: RunFolder, name: str, to: Path) -> Path:
        """Copy a file of the run that has come home already."""
        to.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy2(folder.path / name, to))

    def read_meter(self, folder: RunFolder) -> RunMeter | None:
        """What the run's machines cost, by the ledger of this home."""
        records = self._store.list_run(folder.id)
        if not records:
            return None
        now = read_now()
        lives = build_lives(records, self._store.read_meter(folder.id), self._store.read_bills(), now=now)
        return build_run_meter(records, lives, now_s=now.wall_s)

    def _open_record(self, folder: RunFolder) -> Record:
        records = [record for record in self._store.list_run(folder.id) if record.open]
        if not records:
            raise RunStateError(f"Run {folder.id} has no machine.", hint="run.resume() rents one and goes on.")
        return records[-1]


def _is_leaving(record: Record) -> bool:
    return bool(record.wish.end or record.done.leaving)
