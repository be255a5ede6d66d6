"""How long a run will still take: its pace over what is ahead of it, with its prediction for what has not happened yet."""

from __future__ import annotations

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.pace import Left, Pace, find_ahead
from peft_studio.core.runs.prediction import find_prediction
from peft_studio.core.runs.state import RunState
from peft_studio.core.spec import RunSpec


def find_left(folder: RunFolder, state: RunState, spec: RunSpec, *, pace: Pace, step: int) -> Left | None:
    """Seconds until the run has ended, evaluations, checkpoints and saving included; None before there is a pace."""
    expected = find_prediction(folder)
    ahead = find_ahead(state, spec, step=step, tokens=pace.tokens, predicted=expected.each if expected else {})
    return pace.left(ahead) if ahead else None
