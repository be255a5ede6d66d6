"""How a run that had ended is taken on again: asked for where it was, with other caps if need be, and waited for until it has begun."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Protocol

from peft_studio.core.errors import RunStateError, SpecError
from peft_studio.core.ports import Compute
from peft_studio.core.ports.compute import Capped
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.state import RunState, Standing

BEGINS_S = 60.0


class ReadRun(Protocol):
    """What is asked of a run here."""

    folder: RunFolder

    def read(self) -> tuple[RunState, Standing]:
        """Everything its log says."""


def submit_again(
    compute: Compute, folder: RunFolder, *, from_step: int, max_usd: Decimal | float | str | None, max_hours: float | None
) -> None:  # fmt: skip
    """Have its place start it. SpecError where it has no caps and is given some."""
    if (max_usd, max_hours) == (None, None):
        compute.submit_job(folder, from_step=from_step)
    elif isinstance(compute, Capped):
        compute.resume_job(folder, from_step=from_step, max_usd=max_usd, max_hours=max_hours)
    else:
        raise SpecError(
            f"Run {folder.id} costs no rent, so it has no caps.",
            hint="run.resume() goes on with it.",
            fields=("max_usd",),
        )


def wait_for_job(run: ReadRun, before: RunState) -> None:
    """Until the log tells of a new job, or of a machine for one, and not only an old machine's last word: the run would show its old end."""
    deadline = time.monotonic() + BEGINS_S
    while (state := run.read()[0]).last_seq <= before.last_seq or (state.is_terminal and state.job == before.job):
        if time.monotonic() > deadline:
            log = run.folder.path / "agent.log"
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""
            problem = f"The agent of run {run.folder.id} did not start.\n{said}"
            raise RunStateError(problem, hint="peft-studio doctor checks the installation.")
        time.sleep(0.05)
