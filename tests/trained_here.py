"""A run whose job is done in the test's own process, by the code and into the folder of any other.

Most of a tiny run is starting Python and loading torch. What is shown of agents, processes and kills needs real ones: tests/e2e.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft_studio import Studio
from peft_studio.core.errors import NotReadyError
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.run import Run


class Line:
    """A channel to nobody: what is said goes into the run's log, as an agent would write it."""

    def __init__(self, log: EventLogWriter) -> None:
        self.stop_requested, self.orphaned = threading.Event(), threading.Event()
        self._log = log

    def send(self, event: ev.Event) -> None:
        self._log.append(event)


def train_here(studio: Studio, spec: Any) -> Run:
    """A completed run of a spec that preflight calls Ready."""
    from peft_studio.runner.trainer.job import Job
    from peft_studio.runner.trainer.monitor import Monitor

    check = studio.check(spec)
    if not check.ready:
        raise NotReadyError("\n".join(map(str, check.problems)))
    folder = RunStore(studio.home).create(spec)
    log = EventLogWriter(folder.events)
    line = Line(log)
    monitor = Monitor(line)  # type: ignore[arg-type]
    monitor.metrics = MetricsWriter(folder.metrics)
    with one_thread():
        outcome = Job(folder, spec, monitor, from_step=0).run()
    monitor.metrics.close()
    line.send(outcome)
    log.close()
    assert outcome.state == "completed", outcome
    return studio.run(folder.id)


@contextmanager
def one_thread() -> Iterator[None]:
    """Tiny products on many threads take longer, not shorter."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
