"""The kernel's end of the JupyterLab sidebar: one comm that says which widget to show, and which runs of the home are going.

The kernel opens it when its studio is first shown; a front end without our extension leaves it unanswered. It speaks the
panels' protocol (see ``_feed``), and the page's end is the panels' bridge.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import comm

from peft_studio.core.runs.folder import RunFolder
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._feed import Feed
from peft_studio.widgets._host import Host
from peft_studio.widgets._panel import take_clicks_during_cells
from peft_studio.widgets._run_line import run_line

if TYPE_CHECKING:
    from peft_studio.widgets._panel import Panel

TARGET = "peft_studio"  # the comm target that the extension listens on
LISTED = 50  # newest runs that "Show run…" offers
ENDED = 5  # newest ends that are told, for notifications
LOOK_S = 2.0  # between looks at the home's runs, at least
SHARE, QUIET_SHARE = 1 / 200, 1 / 1000  # of one core, at most, for looking, while runs are going and while none is


class SidebarContent(Content):
    """The studio's model, and the runs that are going."""

    interval_s = 1.0

    def __init__(self, studio: Host, model_id: str) -> None:
        self._studio, self._model_id = studio, model_id
        self._runs: list[dict[str, Any]] = []
        self._ended: list[dict[str, Any]] = []  # of those that were going, newest first
        self._looking = threading.Lock()
        self._look_at = 0.0  # next, on the monotonic clock

    def sections(self) -> dict[str, Any]:
        """What is known now; a look at the runs is taken beside, for a home may have many."""
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            threading.Thread(target=self._look, name="peft-studio-look", daemon=True).start()
        return {"model_id": self._model_id, "runs": self._runs, "ended": self._ended}

    def _look(self) -> None:
        began_at, spent_before_s = time.monotonic(), time.thread_time()
        try:
            # A home that is locked, full or gone at this moment: what was known stays, the next look tries again.
            with contextlib.suppress(OSError, sqlite3.Error):
                lines = self.list_runs()
                gone = {run["id"] for run in self._runs} - {run["id"] for run in lines if run["active"]}
                self._ended = ([run for run in lines if run["id"] in gone] + self._ended)[:ENDED]
                self._runs = [run for run in lines if run["active"]]
        finally:
            spent_s = time.thread_time() - spent_before_s
            self._look_at = began_at + max(LOOK_S, spent_s / (SHARE if self._runs else QUIET_SHARE))
            self._looking.release()

    @command
    def list_runs(self) -> list[dict[str, Any]]:
        """The newest runs, whatever their state."""
        runs = self._studio.home / "runs"
        return [run_line(row, RunFolder(runs / row.id)) for row in self._studio.runs(limit=LISTED).rows]

    @command
    def show_run(self, run_id: str) -> None:
        """Show a run in every view of this kernel's studio."""
        self._studio.session.choose(panel="run", run_id=self._studio.run(run_id).id)

    @command
    def stop_run(self, run_id: str, save: bool) -> None:
        """Stop a run. The extension has asked before."""
        self._studio.run(run_id).stop(save=save)


class Sidebar:
    """The open comm, and what is sent on it."""

    def __init__(self, studio: Host, model_id: str) -> None:
        self._sending = threading.Lock()
        self._closed = False
        self._comm = comm.create_comm(target_name=TARGET)
        take_clicks_during_cells(self._comm)
        self._comm.on_msg(lambda message: self._feed.receive(message["content"]["data"]))
        self._feed = Feed(SidebarContent(studio, model_id), self._send)

    def _send(self, message: dict[str, Any], blocks: list[bytes]) -> None:
        with self._sending:
            if not self._closed:  # a page complains about messages on a comm that it has been told is closed
                self._comm.send(data=message, buffers=blocks)

    def close(self) -> None:
        """Tell the page that there is nothing to show any more."""
        self._feed.close()
        with self._sending:
            self._closed = True
            self._comm.close()


_lock = threading.Lock()
_open: list[Sidebar] = []  # at most one


def show_in_sidebar(studio: Host, panel: Panel) -> None:
    """Let the sidebar show this panel from now on, in place of the one before."""
    with _lock:
        sidebar = Sidebar(studio, panel.model_id)  # before the other goes, so that the page has one at any time
        _close_all()
        _open.append(sidebar)


def close_sidebar() -> None:
    """Let the sidebar show nothing of this kernel."""
    with _lock:
        _close_all()


def _close_all() -> None:
    while _open:
        _open.pop().close()
