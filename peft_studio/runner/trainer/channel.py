"""The trainer's line to its agent: events out on standard output, one command in on standard input.

Libraries print to standard output too, so the descriptor is moved away first and theirs points to standard error, which the agent logs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import IO

from peft_studio.core.runs.events import Event


def claim_stdout() -> IO[str]:
    """A stream to the real standard output, while descriptor 1 leads to standard error from now on."""
    sys.stdout.flush()
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours


class Channel:
    """Sends events and hears commands. ``stop_requested`` is set by a stop command; ``orphaned`` when the agent is gone."""

    def __init__(self, *, speaks: bool = True) -> None:
        out = claim_stdout()
        sys.stdout = sys.stderr
        self._out: IO[str] | None = out if speaks else None
        self._lock = threading.Lock()
        self.stop_requested = threading.Event()
        self.orphaned = threading.Event()

    def listen(self) -> None:
        """Start hearing commands, on a thread of its own. End of input means that the agent is gone."""
        threading.Thread(target=self._hear, name="agent-commands", daemon=True).start()

    def send(self, event: Event) -> None:
        """Hand one event to the agent. A closed line is no error: the command thread notices it and the run winds down."""
        if self._out is None:
            return
        try:
            with self._lock:
                self._out.write(event.model_dump_json(exclude={"seq", "at", "job"}) + "\n")
                self._out.flush()
        except BrokenPipeError:
            self.orphaned.set()

    def _hear(self) -> None:
        for line in sys.stdin:
            if json.loads(line).get("command") == "stop":
                self.stop_requested.set()
        self.orphaned.set()
