"""The handle of one run. It holds no state of its own: every question is answered from the run's folder, so any number of handles agree."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import RunFailed, RunStateError
from peft_studio.core.markup import block, facts
from peft_studio.core.ports import Compute
from peft_studio.core.ports.compute import Metered, RunMeter
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.adapter import Adapter
from peft_studio.core.runs.checkpoints import checkpoint_path, find_newest, list_steps, verify
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.lines import build_lines, shows
from peft_studio.core.runs.log import EventLogReader, read_events
from peft_studio.core.runs.metrics import merge_steps, read_metrics
from peft_studio.core.runs.state import LIVE, RunState, Standing, fold
from peft_studio.core.runs.store import RunStore
from peft_studio.core.runs.watch import STARTUP_S, current_standing
from peft_studio.core.services.failure import RunFailure
from peft_studio.core.services.going_on import submit_again, wait_for_job

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

POLL_S = 0.2


class Run:
    """One run. Get it from ``studio.launch``, ``studio.run(id)`` or ``studio.runs()``."""

    def __init__(self, folder: RunFolder, *, store: RunStore, compute: Compute, show: Callable[[Run], Any]) -> None:
        self.folder = folder
        self._store = store
        self._compute = compute
        self._show = show

    def __repr__(self) -> str:
        state, standing = self.read()
        name = f" {state.name!r}" if state.name else ""
        rows = read_metrics(self.folder.metrics)
        progress = f", step {rows[-1].step} of {state.plan.total_steps}" if rows and state.plan else ""
        return f"Run({self.id}{name}: {standing.state}{progress}, {self.spec.method} on {self.spec.model})"

    def _repr_html_(self) -> str:
        state, standing = self.read()
        rows = [("run", self.id), ("state", standing.state), ("model", self.spec.model), ("method", self.spec.method)]
        if steps := read_metrics(self.folder.metrics):
            rows.append(("step", f"{steps[-1].step} of {state.plan.total_steps if state.plan else '—'}"))
            rows += [("loss", f"{row.values['loss']:.3f}") for row in steps[-1:] if "loss" in row.values]
        return block([facts(rows)])

    @property
    def id(self) -> str:
        return self.folder.id

    @cached_property
    def spec(self) -> ExplainedSpec:
        """What was asked for."""
        return ExplainedSpec.from_json(self.folder.spec.read_text(encoding="utf-8"))

    def read(self) -> tuple[RunState, Standing]:
        """Everything the log says, and how the run stands at this moment."""
        state = fold(read_events(self.folder.events))
        return state, current_standing(self.folder, state, now=time.time())

    @property
    def state(self) -> str:
        """One of ``queued provisioning preparing training evaluating saving completed stopped failed lost``."""
        return self.read()[1].state

    @property
    def provider(self) -> str:
        return self._compute.name

    @property
    def cost(self) -> Decimal:
        """Dollars so far, over all its machines; ``run.meter`` says what of it is billed. A run on this machine is not charged."""
        meter = self.meter
        return meter.spent.usd if meter else Decimal(0)

    @property
    def meter(self) -> RunMeter | None:
        """What a rented run has cost and costs an hour, its cap, its machine; None for a run on this machine."""
        return self._compute.read_meter(self.folder) if isinstance(self._compute, Metered) else None

    @property
    def failure(self) -> RunFailure | None:
        """What went wrong, with ways on; None unless the run failed."""
        state = self.read()[0]
        return RunFailure(state.failure, self.spec) if state.failure else None

    @property
    def adapter(self) -> Adapter:
        """The trained adapter.

        Raises:
            RunStateError: The run has none yet.
        """
        state, standing = self.read()
        if state.adapter is None:
            raise RunStateError(
                f"Run {self.id} has no adapter: it is {standing.state}.",
                hint="run.wait() waits for it; run.resume() continues a run that stopped.",
            )
        saved = state.adapter
        return Adapter(self.folder.path / saved.path, self.spec.model, self.spec.method, saved.sha256, saved.size_bytes)

    @property
    def checkpoints(self) -> list[int]:
        """Steps that can be resumed from, ascending."""
        return [
            step
            for step in list_steps(self.folder.checkpoints)
            if verify(checkpoint_path(self.folder.checkpoints, step))
        ]

    def metrics(self) -> pandas.DataFrame:
        """One row a step: step, time_s, tokens, loss, eval_loss, learning_rate, grad_norm; NaN where a step has no such number."""
        import pandas

        steps = merge_steps(read_metrics(self.folder.metrics))
        columns = ["step", "time_s", "tokens", "loss", "eval_loss", "learning_rate", "grad_norm"]
        frame = pandas.DataFrame([{"step": step, **values} for step, values in sorted(steps.items())])
        return frame.reindex(columns=[*columns, *(name for name in frame.columns if name not in columns)])

    def events(self, after: int = 0, *, follow: bool = True) -> Iterator[ev.Event]:
        """Typed events with a number above ``after``, as they happen, until the run ends or is lost. ``follow=False``: those so far."""
        log = EventLogReader(self.folder.events, after=after)
        while True:
            for event in log.read():
                after = event.seq
                yield event
            if not follow or self.state not in LIVE:
                yield from log.read()
                return
            for event in self._compute.stream_logs(self.folder, after=after):
                after = event.seq
                yield event
            log = EventLogReader(self.folder.events, after=after)
            time.sleep(POLL_S)

    def logs(self, level: str = "debug", contains: str = "") -> list[ev.Logged]:
        """Log lines at or above a level whose text contains ``contains``, in any case; warnings and a failure are lines too."""
        return [line for line in build_lines(read_events(self.folder.events)) if shows(line, level, contains)]

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until the run has ended and return it. Interrupting the wait does not stop the run.

        Raises:
            RunFailed: It failed or was lost; says what went wrong and what to do.
            TimeoutError: It is still going after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (standing := self.read()[1]).state in LIVE:
            if deadline and time.monotonic() > deadline:
                raise TimeoutError(f"Run {self.id} is still {standing.state} after {timeout:g} s; it goes on.")
            time.sleep(POLL_S)
        if standing.state == "lost":
            raise RunFailed(
                f"Run {self.id} was lost: its agent ended without a word.",
                hint="run.resume() continues it from its last checkpoint.",
            )
        if failure := self.failure:
            raise RunFailed(f"Run {self.id} failed: {failure.message}", hint=failure.hint)
        return self

    def stop(self, *, save: bool = True) -> None:
        """Stop the run; with ``save`` it ends after the current step and keeps what it learned as an adapter.

        Returns when the agent has agreed; ``run.wait()`` waits for the end. A run that has ended already is left as it is.
        """
        deadline = time.monotonic() + STARTUP_S
        while self.state in LIVE:
            try:
                self._compute.stop_job(self.folder, save=save)
                return
            except RunStateError:  # launched a moment ago, or ending by itself at this moment
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)

    def resume(
        self, *, from_step: int | None = None, max_usd: Decimal | float | str | None = None, max_hours: float | None = None
    ) -> Run:  # fmt: skip
        """Go on from the newest checkpoint that verifies, or from that of ``from_step``; with none, from the start.

        Data order, optimizer and random state are those of the checkpoint, so on a CPU the result is the same to the byte as
        without the interruption.

        A rented run goes on on another machine, of the offers that it had, with the caps that it had.

        Args:
            from_step: Else the newest.
            max_usd: On a rented machine: what the run may cost from now on, **in all**: what it has cost already counts. So a run that
                its cap has stopped goes on with a higher one. The cap of the month stands.
            max_hours: On a rented machine: how long the next one may live.

        Raises:
            RunStateError: The run is live or completed, or has no such checkpoint.
            OverBudget: ``max_usd`` is not above what the run has cost, or the caps leave nothing for a machine.
        """
        state = self.state
        if state in LIVE or state == "completed":
            raise RunStateError(
                f"Run {self.id} is {state}; there is nothing to resume.",
                hint="To train further, launch a new run with more steps.",
            )
        if from_step is not None and from_step != 0 and from_step not in (steps := self.checkpoints):
            known = f"There is one of: {', '.join(map(str, steps))}." if steps else ""
            hint = known or "There is no checkpoint yet: without a step it begins anew."
            raise RunStateError(f"There is no whole checkpoint of step {from_step}.", hint=hint)
        step = from_step if from_step is not None else find_newest(self.folder.checkpoints) or 0
        before = self.read()[0]
        submit_again(self._compute, self.folder, from_step=step, max_usd=max_usd, max_hours=max_hours)
        wait_for_job(self, before)
        return self

    def delete(self) -> None:
        """Delete the run's folder: log, metrics, checkpoints, adapter.

        Raises:
            RunStateError: The run is live.
        """
        if self.state in LIVE:
            raise RunStateError(
                f"Run {self.id} is {self.state}.", hint="Stop it first: run.stop(save=False); run.wait()."
            )
        shutil.rmtree(self.folder.path)
        self._store.forget(self.id)

    def plot(self) -> plotly.graph_objects.Figure:
        """Loss by step as a Plotly figure: every step, a smoothed line, evaluations."""
        from peft_studio.core.services.plot import build_loss_figure

        return build_loss_figure(self.metrics(), title=self.read()[0].name or self.id)

    def show(self) -> Any:
        """The run's live panel. In a plain script: its text."""
        return self._show(self)
