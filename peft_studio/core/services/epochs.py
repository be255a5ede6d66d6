"""How many epochs runs have trained, by their folders."""

from __future__ import annotations

from collections.abc import Iterable

from peft_studio.core.errors import RunNotFound
from peft_studio.core.runs.events import Planned
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.store import RunStore


def find_epochs(store: RunStore, run_ids: Iterable[str]) -> dict[str, float]:
    """Epochs by run, for those that have a plan and have trained a step. A run whose folder is gone is left out."""
    wanted = list(run_ids)
    if wanted:
        store.catch_up()
    found = {}
    for run_id in wanted:
        try:
            folder = store.folder(run_id)
        except RunNotFound:
            continue
        row = store.index.find(run_id)
        plans = [event for event in read_events(folder.events) if isinstance(event, Planned)]
        if row and row.step and plans and plans[-1].steps_per_epoch:
            found[run_id] = row.step / plans[-1].steps_per_epoch
    return found
