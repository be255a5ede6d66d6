"""The Run panel: one run's state, curve, log and files as they stand now, with stop and resume.

A reader of the run's folder.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from peft_studio.core.errors import RunStateError
from peft_studio.core.runs.events import Logged
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogReader
from peft_studio.core.runs.metrics import MetricsReader
from peft_studio.core.runs.state import LIVE, RunState, Standing
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._curve import COLUMNS, Curve
from peft_studio.widgets._host import Host
from peft_studio.widgets._losses import Loss
from peft_studio.widgets._panel import Panel
from peft_studio.widgets._snapshot import run_snapshot
from peft_studio.widgets._view import LOG_LINES, Seen, SystemUse, build_sections, log_line, show_code

_LIVE_S = 0.1  # at most 20 messages a second a panel reach Jupyter; 10 look as smooth
_NEWEST_S = 5.0  # how soon a run that somebody else has started is shown, where none is chosen
_QUIET_S = 1.0  # an ended run can only be resumed; a second is soon enough to notice


class ShownRun(Protocol):
    """What the panel asks of a run."""

    @property
    def id(self) -> str: ...

    @property
    def spec(self) -> RunSpec: ...

    @property
    def folder(self) -> RunFolder: ...

    def read(self) -> tuple[RunState, Standing]:
        """The state as the events say it, and how the run stands now."""

    def stop(self, *, save: bool = True) -> Any:
        """Ask the run to stop."""

    def resume(self) -> Any:
        """Go on from the newest whole checkpoint."""


class RunPanel(Panel):
    """``run.show()``."""

    def __init__(self, run: ShownRun, *, retry: Callable[[dict[str, Any]], ShownRun] | None = None) -> None:
        super().__init__(RunContent(run, retry=retry))


class RunContent(Content):
    """One run.

    ``retry`` starts the run's spec again with fields changed; with it, the ways out of a failure are buttons.
    """

    module = "run"

    def __init__(self, run: ShownRun, *, retry: Callable[[dict[str, Any]], ShownRun] | None = None) -> None:
        self._run, self._retry = run, retry
        self._source = _Source(run)
        self._log_sent = 0  # number of the last line that was sent
        self._curve_sent: tuple[int, int, float] = (-1, 0, 0.0)  # see _curve_mark
        self._was_live = not self._source.state.is_terminal

    def __repr__(self) -> str:
        # No id where there is a name: the output of a cell should read the same when the cell is run again.
        return f"RunPanel({(self._source.state.name or self._run.id)!r})"

    def sections(self) -> dict[str, Any]:
        """The run as it stands now."""
        source = self._source
        source.read()
        self.interval_s = _LIVE_S if source.live else _QUIET_S
        just_ended, self._was_live = self._was_live and source.state.is_terminal, not source.state.is_terminal
        self.picture_due = self.picture_due or just_ended
        return {**source.sections, "can_retry": self._retry is not None}

    def streams(self, *, full: bool) -> tuple[dict[str, Any], list[bytes]]:
        """New lines of the log, and the curve's new buckets."""
        found: dict[str, Any] = {}
        blocks = []
        lines = [line for line in self._source.log if full or line["seq"] > self._log_sent]
        if lines or full:
            found["log"] = lines
            self._log_sent = lines[-1]["seq"] if lines else self._log_sent
        curve, mark = self._source.curve, _curve_mark(self._source.curve)
        if full or mark != self._curve_sent:
            whole = mark[0] == self._curve_sent[0] and not full
            start = max(0, self._curve_sent[1] - 1) if whole else 0  # the last bucket sent may have grown
            found["curve"] = {"start": start, "columns": COLUMNS}
            blocks.append(curve.encode(start))
            self._curve_sent = mark
        return found, blocks

    def snapshot_html(self) -> str:
        """The run as it stood when the notebook was saved."""
        self._source.read()
        return run_snapshot(self._source.sections, self._source.curve, at=time.time())

    @command
    def stop(self, save: bool = True) -> None:
        """Ask the run to stop; with ``save``, to keep what it has learned."""
        self._run.stop(save=save)

    @command
    def resume(self) -> None:
        """Go on from the newest whole checkpoint."""
        self._run.resume()

    @command
    def retry(self, suggestion: int) -> dict[str, str]:
        """Start a new run with the changes of one of the failure's suggestions.

        Returns its id and the Python that shows it.
        """
        failure = self._source.state.failure
        if self._retry is None or failure is None or not 0 <= suggestion < len(failure.suggestions):
            raise RunStateError("This run has no such way out.", hint="Copy the Python beside it and run it in a cell.")
        again = self._retry(failure.suggestions[suggestion].changes)
        return {"id": again.id, "code": show_code(again.id)}


class ChosenRunContent(Content):
    """The run that the session has chosen, else the newest; another one when the choice changes."""

    module = "run"

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._shown: RunContent | None = None
        self._run_id: str | None = None
        self._newest: tuple[float, str | None] = (-_NEWEST_S, None)  # looked up when, on the monotonic clock, and found

    def __repr__(self) -> str:
        return repr(self._shown) if self._shown else "RunPanel()"

    def sections(self) -> dict[str, Any]:
        """The run as it stands now, or that there is none."""
        self._follow()
        if self._shown is None:
            self.interval_s = _QUIET_S
            return {"empty": {"text": "There is no run yet. Train one, and it is shown here while it goes on."}}
        found = self._shown.sections()
        self.interval_s = self._shown.interval_s
        return found

    def streams(self, *, full: bool) -> tuple[dict[str, Any], list[bytes]]:
        """Those of the run shown."""
        return self._shown.streams(full=full) if self._shown else ({}, [])

    def snapshot_html(self) -> str:
        """The run as it stood when the notebook was saved."""
        self._follow()
        return self._shown.snapshot_html() if self._shown else ""

    def find_command(self, name: str) -> Callable[..., Any] | None:
        """A command of the run shown."""
        return self._shown.find_command(name) if self._shown else None

    def _follow(self) -> None:
        wanted = self._studio.session.now.run_id
        if wanted is None:
            if self._newest[1] is None or time.monotonic() - self._newest[0] >= _NEWEST_S:
                rows = self._studio.runs(limit=1).rows
                self._newest = (time.monotonic(), rows[0].id if rows else None)
            wanted = self._newest[1]
        if wanted != self._run_id and wanted is not None:
            run = self._studio.run(wanted)
            self._shown = RunContent(run, retry=lambda changes: self._studio.launch(run.spec, **changes))
            self.renewed = True
        self._run_id = wanted


class _Source:
    """What the panel reads: the folded state, the rows and the log, followed from where each was left."""

    def __init__(self, run: ShownRun) -> None:
        self._run = run
        self._events = EventLogReader(run.folder.events)
        self._loss, self._system_rows = Loss(run.folder.metrics), MetricsReader(run.folder.system)
        self._system = SystemUse()
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LINES)
        self._read_at = 0.0  # on the monotonic clock
        self.state, self._standing = run.read()
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
        waited = not self.state.is_terminal and time.monotonic() - self._read_at >= _QUIET_S
        due = bool(events) or waited or not self.sections
        if due:
            self.state, self._standing = self._run.read()
            self._read_at = time.monotonic()
        use, rows = self._system_rows.read(), self._loss.read()
        self._system.add(use)
        if due or use or rows:
            now = time.time()
            self.sections = build_sections(
                Seen(
                    self._run.folder,
                    self._run.spec,
                    self.state,
                    self._standing,
                    self.curve,
                    self._loss.pace,
                    self._system,
                    now,
                )
            )


def _curve_mark(curve: Curve) -> tuple[int, int, float]:
    """Changes whenever there is something to send: the generation, the number of buckets, the rows in the last one."""
    return curve.generation, len(curve.buckets), curve.buckets[-1].count if curve.buckets else 0.0
