"""How a job ended, by what its trainer said, how its processes ended, and what is on the disk."""

from __future__ import annotations

import signal

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import sha256_of
from peft_studio.core.runs.failures import build_failure
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.state import RunState
from peft_studio.core.spec import RunSpec
from peft_studio.runner.agent.ranks import Ending


def judge(
    outcome: ev.Finished | None, ending: Ending, *, state: RunState, folder: RunFolder, spec: RunSpec, peak_bytes: int
) -> ev.Finished:
    """The job's last event. ``completed`` needs the adapter's file, with the digest that was announced.

    Args:
        outcome: What the trainer said at its end, if it came to that.
        peak_bytes: The most memory that was seen in use.
    """
    adapter, requested = state.adapter, state.stop_requested
    if outcome is None and requested and not requested.save:
        return ev.Finished(state="stopped")
    lost = outcome is not None and outcome.failure is not None and outcome.failure.code == "rank_lost"
    if (outcome is None or lost) and ending.failure:  # another one knows why
        return ev.Finished(state="failed", failure=ending.failure)
    if outcome is None or (lost and ending.culprit is not None):
        return ev.Finished(state="failed", failure=_death(ending, state, folder, spec=spec, peak_bytes=peak_bytes))
    if outcome.state != "failed" and adapter:
        weights = folder.path / adapter.path / "adapter_model.safetensors"
        if not weights.is_file() or sha256_of(weights) != adapter.sha256:
            why = f"{weights.name} is missing or differs from what was written."
            return ev.Finished(state="failed", failure=build_failure("adapter_unloadable", why, spec=spec))
    if outcome.state == "completed" and adapter is None:
        why = "The trainer ended without announcing an adapter."
        return ev.Finished(state="failed", failure=build_failure("adapter_unloadable", why, spec=spec))
    return outcome


def say_kept(state: RunState) -> str:
    """What a resume can go on from."""
    if state.checkpoints:
        return f" The checkpoint of step {state.checkpoints[-1].step} is kept."
    return " No checkpoint had been saved yet."


def _death(ending: Ending, state: RunState, folder: RunFolder, *, spec: RunSpec, peak_bytes: int) -> ev.Failure:
    status = ending.status
    tail = [event.text for event in read_events(folder.events) if isinstance(event, ev.Logged)][-30:]
    step = state.checkpoints[-1].step if state.checkpoints else None
    kept = say_kept(state)
    who = "The trainer" if ending.culprit is None else f"Training process {ending.culprit} of {ending.processes}"
    if status < 0:
        name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
        message = (
            f"{who} was ended from outside by {name}; it had used up to {peak_bytes / 2**30:.1f} GiB of memory.{kept}"
        )
    else:
        message = f"{who} ended with status {status} and said no reason.{kept}"
    return build_failure("trainer_killed", message, spec=spec, trace="\n".join(tail), step=step)
