"""What may be believed about a run, taken from the system and the files rather than from the code under test's own word."""

from __future__ import annotations

import hashlib
import threading
import time

import psutil

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import Row, merge_steps, read_metrics
from peft_studio.core.runs.state import LIVE
from peft_studio.core.services.run import Run

TIMED = ("time_s",)  # the only number of a step that may differ between two executions


def weights_of(run: Run) -> bytes:
    """The bytes of the trained adapter."""
    return (run.folder.adapter / "adapter_model.safetensors").read_bytes()


def numbers_of(run: Run) -> dict[int, dict[str, float]]:
    """Step → its numbers, less those that measure time."""
    merged = merge_steps(read_metrics(run.folder.metrics))
    return {step: {k: v for k, v in values.items() if k not in TIMED} for step, values in merged.items()}


def rows_of(run: Run) -> list[Row]:
    return read_metrics(run.folder.metrics)


def last_step(run: Run) -> int:
    rows = rows_of(run)
    return rows[-1].step if rows else 0


def jobs_of(run: Run) -> list[ev.JobStarted]:
    return [event for event in read_events(run.folder.events) if isinstance(event, ev.JobStarted)]


def processes(run: Run, kind: str) -> list[psutil.Process]:
    """The run's living processes of a kind: ``agent`` or ``train``."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if kind in command and str(run.folder.path) in command and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def adapter_is_there(run: Run) -> bool:
    """Whether the announced adapter exists with the announced digest."""
    saved = run.read()[0].adapter
    weights = run.folder.adapter / "adapter_model.safetensors"
    return bool(saved) and weights.is_file() and hashlib.sha256(weights.read_bytes()).hexdigest() == saved.sha256


class Witness:
    """Looks at a run all the time, from a thread, and notes every state that was shown and was not true."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: list[str] = []
        self.wrong: list[str] = []

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join(30)

    def _look(self) -> None:
        while not self._done.wait(0.03):
            agents = living_agents(self._run)
            state, standing = self._run.read()
            shown = standing.state
            later = living_agents(self._run)
            if not self.seen or self.seen[-1] != shown:
                self.seen.append(shown)
            if shown == "completed" and not adapter_is_there(self._run):
                self.wrong.append("completed without its adapter")
            if shown in LIVE and not agents and not later and state.last_seq > 1 and self._still_shown():
                self.wrong.append(f"{shown} with no agent alive")
            if shown == "lost" and agents & later and state.last_seq > 1:
                self._doubt(agents & later)

    def _doubt(self, agents: set[int]) -> None:
        """A killed process gives up its locks a moment before it is gone: lost is wrong only if the agent lives on."""
        time.sleep(0.5)
        if agents & living_agents(self._run):
            self.wrong.append("lost with its agent alive")

    def _still_shown(self) -> bool:
        """Whether a live state is shown half a second later too, and still nothing lives.

        A killed process counts as dead when its first thread is; the others hold its files, the lock among them, a moment longer.
        """
        self._done.wait(0.5)
        return self._run.state in LIVE and not living_agents(self._run)


def living_agents(run: Run) -> set[int]:
    """Numbers of the processes that took this run and have not ended. A dying one has no command line any more, so that is no help."""
    found = set()
    for job in jobs_of(run):
        try:
            if psutil.Process(job.pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                found.add(job.pid)
        except psutil.NoSuchProcess:
            continue
    return found
