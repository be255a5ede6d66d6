"""A learning-rate sweep: three short real runs that differ in nothing else, and what they say.

It is runs with a common tag and nothing more: any process that opens the home finds it again by its id.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import RunFailed, RunNotFound, RunStateError
from peft_studio.core.ids import is_run_id, new_run_id
from peft_studio.core.markup import block, table
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import merge_steps, read_metrics
from peft_studio.core.runs.state import LIVE
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.run import Run
from peft_studio.core.services.sweep_verdict import Recommendation, Trial, judge_trials

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

FACTORS = (1 / 3, 1.0, 3.0)
STEPS = 30
TAG = "sweep:"
DIVERGED = frozenset({"loss_not_finite", "loss_exploded"})
LOOKED_AT = 200  # runs launched after a sweep began, among which its own are looked for
COLUMNS = ("learning_rate", "run", "state", "step", "loss", "behind", "noise", "eval_loss")
HEADS = ("learning rate", "run", "state", "steps", "loss", "behind", "±", "eval loss")


def new_sweep_id() -> str:
    """``s-`` and the time, as a run's id: its runs are those that came right after."""
    return "s" + new_run_id()[1:]


def find_steps(spec: ExplainedSpec) -> int:
    """Optimizer steps of each run of a sweep, where nobody says otherwise."""
    return min(STEPS, spec.planned_steps or STEPS)


def plan_sweep(spec: ExplainedSpec, sweep_id: str, *, max_steps: int | None = None) -> list[ExplainedSpec]:
    """The specs of a sweep. They keep one checkpoint, at the end, and everything else of the spec."""
    steps = max_steps or find_steps(spec)
    plans = []
    for factor in FACTORS:
        rate = float(f"{spec.learning_rate * factor:.3g}")
        name = f"{spec.name or 'Sweep'}: learning rate {rate:g}"
        tags = (*(tag for tag in spec.tags if not tag.startswith(TAG)), TAG + sweep_id)
        plans.append(
            spec.replace(
                learning_rate=rate, max_steps=steps, save_steps=steps, keep_checkpoints=1, name=name, tags=tags
            )
        )
    return plans


def find_sweep_runs(store: RunStore, sweep_id: str) -> list[str]:
    """Ids of a sweep's runs, in the order of their launch.

    Raises:
        RunNotFound: There is none in this home.
    """
    since, found = "r" + sweep_id[1:], list[str]()
    later = sorted(path.name for path in store.runs.iterdir() if path.name > since and is_run_id(path.name))
    for run_id in later[:LOOKED_AT]:
        with contextlib.suppress(OSError):  # being made, or being deleted
            text = RunFolder(store.runs / run_id).spec.read_text(encoding="utf-8")
            found += [run_id] if f'"{TAG}{sweep_id}"' in text else []
    if not found:
        hint = "A sweep's id stands in the tags of its runs: studio.runs(text='learning rate')."
        raise RunNotFound(f"There is no sweep {sweep_id!r} in {store.home}.", hint=hint)
    return found


class Sweep:
    """Runs that differ in the learning rate alone. Get it from ``studio.sweep``."""

    def __init__(self, sweep_id: str, runs: Sequence[Run]) -> None:
        self.id = sweep_id
        self.runs = tuple(sorted(runs, key=lambda run: run.spec.learning_rate))

    @property
    def ended(self) -> bool:
        """Whether all its runs have ended."""
        return not any(run.state in LIVE for run in self.runs)

    @property
    def best(self) -> Recommendation:
        """The learning rate to take, how sure that is, and why.

        Raises:
            RunStateError: Some run is still going, or fewer than two have an answer.
        """
        if not self.ended:
            raise RunStateError(f"Sweep {self.id} is still going.", hint="sweep.wait() waits for its runs.")
        trials = [trial for run in self.runs if (trial := self._trial(run)) is not None]
        if len(trials) < 2:
            hint = "See why: [run.failure for run in sweep.runs]. Then sweep again."
            raise RunStateError(f"Of sweep {self.id} {len(trials)} of {len(self.runs)} runs have an answer.", hint=hint)
        return judge_trials(trials, rows_per_step=self.runs[0].spec.effective_batch)

    def wait(self, timeout: float | None = None) -> Sweep:
        """Wait until all runs have ended. One that diverges is an answer, and no error.

        Raises:
            RunFailed: One failed for another reason; the others go on.
            TimeoutError: One is still going after ``timeout`` seconds.
        """
        for run in self.runs:
            try:
                run.wait(timeout)
            except RunFailed:
                if run.failure is None or run.failure.code not in DIVERGED:
                    raise
        return self

    def stop(self) -> None:
        """End what is still going or waiting."""
        for run in reversed(self.runs):
            run.stop(save=False)

    def table(self) -> pandas.DataFrame:
        """One row a learning rate; ``behind`` and ``noise`` are there when all runs have ended."""
        import pandas

        return pandas.DataFrame(self.rows(), columns=list(COLUMNS))

    def plot(self) -> plotly.graph_objects.Figure:
        """Loss by step of all of them as a Plotly figure."""
        from peft_studio.core.services.plot import build_overlay

        lines = [(f"{run.spec.learning_rate:g}", sorted(_losses(run).items())) for run in self.runs]
        return build_overlay([(name, [(float(step), loss) for step, loss in points]) for name, points in lines])

    def __repr__(self) -> str:
        lines = [HEADS, *map(_cells, self.rows())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([f"Sweep {self.id}", *text, self._verdict()])

    def _repr_html_(self) -> str:
        return block([table(HEADS, map(_cells, self.rows())), self._verdict()])

    def _verdict(self) -> str:
        try:
            return self.best.why
        except RunStateError as exc:
            return exc.message

    def rows(self) -> list[dict[str, Any]]:
        """One a learning rate, by the names in ``COLUMNS``."""
        try:
            standings = {one.trial.learning_rate: one for one in self.best.standings}
        except RunStateError:
            standings = {}
        rows = []
        for run in self.runs:
            losses, standing = _losses(run), standings.get(run.spec.learning_rate)
            evaluations = run.read()[0].evaluations
            rows.append({
                "learning_rate": run.spec.learning_rate, "run": run.id, "state": run.state, "step": max(losses, default=0),
                "loss": losses[max(losses)] if losses else None, "behind": standing.behind if standing else None,
                "noise": standing.noise if standing else None, "eval_loss": evaluations[-1].loss if evaluations else None,
            })  # fmt: skip
        return rows

    def _trial(self, run: Run) -> Trial | None:
        """What a run says; None when it ended without an answer."""
        diverged = run.failure is not None and run.failure.code in DIVERGED
        if run.state != "completed" and not diverged:
            return None
        middle = self.runs[len(self.runs) // 2].spec.learning_rate
        evaluations = run.read()[0].evaluations
        held_out = evaluations[-1] if evaluations else None
        return Trial(
            run.spec.learning_rate, run.spec.learning_rate / middle, _losses(run), diverged,
            held_out.loss if held_out else None, held_out.rows if held_out else 0,
        )  # fmt: skip


def _losses(run: Run) -> dict[int, float]:
    steps = merge_steps(read_metrics(run.folder.metrics))
    return {step: values["loss"] for step, values in steps.items() if "loss" in values}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def number(name: str) -> str:
        return "—" if row[name] is None else f"{row[name]:.4f}"

    rate = f"{row['learning_rate']:g}"
    return (rate, row["run"], row["state"], str(row["step"]), *(number(name) for name in COLUMNS[4:]))
