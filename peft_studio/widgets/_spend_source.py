"""What the Spend panel reads: the ledger, the machines on record, and once, for what nobody stands for, the lists of connected providers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import RunNotFound
from peft_studio.core.ports.platform import Role
from peft_studio.widgets._feed import guarded
from peft_studio.widgets._host import Host
from peft_studio.widgets._spend_view import view_alarm, view_machine, view_spend
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.services.rentals import RentalList

_LIVE_S, _STILL_S = 2.0, 15.0  # dollars tick while a machine is there; else a day may begin


class SpendSource:
    """Everything as it was last read. Any thread may ask; one reads at a time.

    Attributes:
        sections: What the page shows.
        providers: Connected providers of machines.
        asking: A provider is being asked now. said: What came of asking last. warned: What else stands in the way.
    """

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self.sections: dict[str, Any] = {}
        self.providers: list[str] = []
        self.asking = False
        self.said: list[str] = []
        self.warned: list[str] = []
        self.has_machines = False
        self._names: dict[str, str] = {}
        self._reading = threading.Lock()
        self._looked_at, self._seen = 0.0, 0
        self._swept = False

    @property
    def is_due(self) -> bool:
        """Whether reading again may show something new."""
        since_s = time.monotonic() - self._looked_at
        return since_s > (_LIVE_S if self.has_machines else _STILL_S) or self._mark() != self._seen

    def look(self) -> None:
        """Read everything. One thread at a time. The first time, have the providers' lists looked at beside it."""
        with self._reading:
            mark = self._mark()
            infos = self._studio._catalog.list_infos(Role.COMPUTE)
            connections = self._studio._connections
            self.providers = [info.name for info in infos if not info.local and connections.has_secret(info.name)]
            titles = {info.name: info.title for info in infos}
            spend, listed = self._studio.spend(), self._studio.rentals()
            names = self._find_names({*spend.by_run, *(row.run_id for row in listed)})
            self.has_machines = len(listed) > 0
            self.warned = [plain(why) for why in listed.warnings]
            runs = {row.label: names.get(row.run_id) or row.run_id for row in listed if row.kind == "machine"}
            self.sections = {
                **view_spend(spend, names, titles),
                "machines": [view_machine(row, names, titles) for row in listed],
                "alarms": [view_alarm(alarm, titles, runs) for alarm in listed.alarms],
            }
            self._looked_at, self._seen = time.monotonic(), mark
        if self.providers and not self._swept:
            self._swept = True
            threading.Thread(target=self.sweep, name="peft-studio-spend", daemon=True).start()

    def sweep(self) -> None:
        """Ask every connected provider for its list: what carries our label and has no record is shown after it."""
        self.asking = True
        try:
            listed, problem = guarded(lambda: self._studio.rentals(refresh=True), "spend")
            warnings = listed.warnings if listed else ()
            self.said = [problem["message"]] if problem else [plain(why) for why in warnings]
        finally:
            self.asking = False

    def fetch_bills(self) -> None:
        """Ask what was charged, and read anew."""
        self.asking = True
        try:
            self.said = [plain(note) for note in self._studio.spend(refresh=True).notes] or [
                "Nothing is left to be billed."
            ]
        finally:
            self.asking = False
        self.look()

    def list_machines(self) -> RentalList:
        """As they are now."""
        return self._studio.rentals()

    def _find_names(self, run_ids: set[str]) -> dict[str, str]:
        """What people call the runs of this home among these."""
        for run_id in run_ids - set(self._names):
            try:
                run = self._studio.run(run_id)
            except RunNotFound:
                continue
            self._names[run_id] = run.read()[0].name or run_id
        return {run_id: name for run_id, name in self._names.items() if (self._studio.home / "runs" / run_id).is_dir()}

    def _mark(self) -> int:
        """Changes whenever something was written, by this process or another."""
        try:
            return (self._studio.home / "rent" / "rentals.sqlite").stat().st_mtime_ns
        except OSError:
            return 0
