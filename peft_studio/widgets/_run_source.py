"""What the Run panel reads of one run: its folder, followed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Protocol

from peft_studio.core.errors import RentError
from peft_studio.core.ports.compute import RunMeter
from peft_studio.core.runs.curve import Curve
from peft_studio.core.runs.events import Logged
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogReader
from peft_studio.core.runs.metrics import MetricsReader
from peft_studio.core.runs.state import LIVE, RunState, Standing
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._again import view_again
from peft_studio.widgets._losses import Loss
from peft_studio.widgets._money import view_meter
from peft_studio.widgets._view import LOG_LINES, Seen, SystemUse, build_sections, log_line

_FOLD_S = 1.0  # between foldings of a live run that says nothing
_METER_S = 2.0  # between looks at the ledger: cents do not move faster, and a bill may come after the end


class ShownRun(Protocol):
    """What the panel asks of a run."""

    @property
    def id(self) -> str: ...

    @property
    def spec(self) -> RunSpec: ...

    @property
    def folder(self) -> RunFolder: ...

    @property
    def meter(self) -> RunMeter | None:
        """What it costs; None on this machine."""

    def read(self) -> tuple[RunState, Standing]:
        """The state as the events say it, and how the run stands now."""

    def stop(self, *, save: bool = True) -> Any:
        """Ask the run to stop."""

    def resume(self, *, max_usd: str | None = None) -> Any:
        """Go on from the newest whole checkpoint; ``max_usd``: with another cap in all."""


class RunSource:
    """The folded state, the rows and the log, followed from where each was left. ``titles``: of providers, by name."""

    def __init__(self, run: ShownRun, titles: Mapping[str, str] = MappingProxyType({})) -> None:
        self._run, self._titles = run, titles
        self._events = EventLogReader(run.folder.events)
        self._loss, self._system_rows = Loss(run.folder.metrics), MetricsReader(run.folder.system)
        self._system = SystemUse()
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LINES)
        self._read_at = 0.0  # on the monotonic clock
        self.state, self._standing = run.read()
        self._metered_at = -_METER_S
        self.meter: RunMeter | None = None
        self.sections: dict[str, Any] = {}

    @property
    def live(self) -> bool:
        """Whether somebody may be writing this run now."""
        return self._standing.state in LIVE

    @property
    def curve(self) -> Curve:
        """Its loss so far."""
        return self._loss.curve

    def read(self) -> None:
        """Take in what is new and build the sections anew where that changes them."""
        events = self._events.read()
        self.log.extend(log_line(event) for event in events if isinstance(event, Logged))
        # Folding reads the whole log: when there is news, and once a second, because silence changes how a run stands.
        waited = not self.state.is_terminal and time.monotonic() - self._read_at >= _FOLD_S
        due = bool(events) or waited or not self.sections
        if due:
            self.state, self._standing = self._run.read()
            self._read_at = time.monotonic()
        use, rows = self._system_rows.read(), self._loss.read()
        self._system.add(use)
        if due or use or rows:
            run, now = self._run, time.time()
            self.sections = build_sections(
                Seen(run.folder, run.spec, self.state, self._standing, self.curve, self._loss.pace, self._system, now)
            )
        self._read_meter()
        self.sections["meter"] = view_meter(self.meter, self._titles)
        self.sections["again"] = (
            None if self.live else view_again(self.meter, self.state, self._run.folder, self._titles)
        )

    def _read_meter(self) -> None:
        if time.monotonic() - self._metered_at >= _METER_S:
            self._metered_at = time.monotonic()
            with suppress(RentError):  # its file cannot be read now: what was seen last stays
                self.meter = self._run.meter
