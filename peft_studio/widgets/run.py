"""The Run panel: one run's state, curve, log and files as they stand now, with stop and resume.

A reader of the run's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from peft_studio.core.errors import RunStateError
from peft_studio.core.ports.platform import Role
from peft_studio.core.runs.curve import COLUMNS, Curve
from peft_studio.widgets._again import propose
from peft_studio.widgets._code import show_code
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._overlay import Overlay
from peft_studio.widgets._panel import Panel
from peft_studio.widgets._run_source import RunSource, ShownRun
from peft_studio.widgets._snapshot import run_snapshot

_LIVE_S = 0.055  # at most 20 messages a second a panel reach Jupyter, and what a run logs is to be seen at once
_NEWEST_S = 5.0  # how soon a run that somebody else has started is shown, where none is chosen
_QUIET_S = 1.0  # an ended run can only be resumed; a second is soon enough to notice

Retry = Callable[[dict[str, Any]], ShownRun]


class RunPanel(Panel):
    """One run by itself."""

    def __init__(self, run: ShownRun, *, retry: Retry | None = None, overlay: Overlay | None = None) -> None:
        super().__init__(RunContent(run, retry=retry, overlay=overlay))


def open_run(studio: Host, run_id: str) -> RunContent:
    """A run of this studio, with all that can be done with it."""
    run = studio.run(run_id)
    titles = {info.name: info.title for info in studio._catalog.list_infos(Role.COMPUTE)}
    overlay = Overlay(studio, run.id)
    return RunContent(run, retry=lambda changes: studio.launch(run.spec, **changes), overlay=overlay, titles=titles)


class RunContent(Content):
    """One run.

    ``retry`` starts the run's spec again with fields changed; with it, what warnings and a failure suggest are
    buttons. With ``overlay`` the losses of other runs can be laid over this one's. ``titles``: of providers, by name.
    """

    module = "run"

    def __init__(
        self,
        run: ShownRun,
        *,
        retry: Retry | None = None,
        overlay: Overlay | None = None,
        titles: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._run, self._retry, self._overlay = run, retry, overlay
        self._source = RunSource(run, titles)
        self._log_sent = 0  # number of the last line that was sent
        self._curve_sent: tuple[int, int, float] = (-1, 0, 0.0)  # see _curve_mark
        self.unsettled = not self._source.state.is_terminal
        self._deleted = False
        self._code: tuple[Sequence[str], str] | None = (
            None  # for these overlaid runs: finding the home costs more than the rest
        )

    def __repr__(self) -> str:
        # No id where there is a name: the output of a cell should read the same when the cell is run again.
        return f"RunPanel({(self._source.state.name or self._run.id)!r})"

    def sections(self) -> dict[str, Any]:
        """The run as it stands now."""
        source = self._source
        deleted = not self._run.folder.path.is_dir()
        self.renewed, self._deleted = self.renewed or deleted is not self._deleted, deleted
        if deleted:
            return {"empty": {"text": "This run has been deleted. The step Runs has the others."}}
        source.read()
        overlay = self._overlay.section() if self._overlay else None
        self.interval_s = _LIVE_S if source.live or (overlay and overlay["reading"]) else _QUIET_S
        just_ended, self.unsettled = self.unsettled and source.state.is_terminal, not source.state.is_terminal
        self.picture_due = self.picture_due or just_ended
        return {
            **source.sections,
            "can_retry": self._retry is not None,
            "overlay": overlay,
            "code": self._show_code(),
        }

    def _show_code(self) -> str:
        overlaid = self._overlay.chosen if self._overlay else ()
        if self._code is None or self._code[0] != overlaid:
            self._code = overlaid, show_code(self._run.folder, overlaid)
        return self._code[1]

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
    def resume(self, max_usd: str = "") -> None:
        """Go on from the newest whole checkpoint; a rented run with this cap in all, where one is named."""
        self._run.resume(max_usd=max_usd.strip() or None)

    @command
    def propose(self, max_usd: str) -> dict[str, Any] | None:
        """What going on with a cap comes to; None where it costs nothing."""
        return propose(self._source.meter, self._run.folder, max_usd) if self._source.meter else None

    @command
    def retry(self, suggestion: int | None = None, warning: int | None = None) -> dict[str, str]:
        """Start a new run with the changes of one of the failure's suggestions, or of the warning of this number.

        Returns its id and the Python that shows it.
        """
        changes = self._changes(suggestion, warning)
        if self._retry is None or not changes:
            raise RunStateError("This run has no such way on.", hint="Copy the Python beside it and run it in a cell.")
        again = self._retry(changes)
        return {"id": again.id, "code": show_code(again.folder)}

    def _changes(self, suggestion: int | None, warning: int | None) -> dict[str, Any]:
        """What was suggested, as the run's own log has it."""
        state = self._source.state
        if warning is not None:
            return next((one.changes for one in state.warnings if one.seq == warning), {})
        ways = state.failure.suggestions if state.failure else ()
        return ways[suggestion].changes if suggestion is not None and 0 <= suggestion < len(ways) else {}

    @command
    def offer(self) -> list[dict[str, Any]]:
        """The newest other runs that have a curve."""
        return self._overlay.offer() if self._overlay else []

    @command
    def lay_over(self, run_ids: Sequence[str]) -> None:
        """Draw the losses of these runs with this one's; none takes them away."""
        if self._overlay:
            self._overlay.choose(run_ids)


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
        self.renewed, self._shown.renewed = self.renewed or self._shown.renewed, False
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
        if wanted != self._run_id:
            self._shown = open_run(self._studio, wanted) if wanted else None
            self._run_id, self.renewed = wanted, True


def _curve_mark(curve: Curve) -> tuple[int, int, float]:
    """Changes whenever there is something to send: the generation, the number of buckets, the rows in the last one."""
    return curve.generation, len(curve.buckets), curve.buckets[-1].count if curve.buckets else 0.0
