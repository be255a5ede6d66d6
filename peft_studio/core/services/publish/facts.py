"""What a run can say of itself to strangers: read from its folder once, without rows, paths or prompts. Unknown is None."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from peft_studio.core.models import find_prepared
from peft_studio.core.models.catalog import find_embedded
from peft_studio.core.models.licence import find_licence
from peft_studio.core.models.prepared import is_hub_id, looks_like_path
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import merge_steps, read_metrics
from peft_studio.core.services.outcomes import measure
from peft_studio.core.services.run import Run
from peft_studio.core.spec import RunSpec

LAST_SHARE = 10  # the end of a curve is its last tenth
_HUB = re.compile(r"hub:([\w.-]+/[\w.-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spread:
    """Numbers of several steps: their mean and standard deviation. ``sd`` is None of fewer than two."""

    mean: float
    sd: float | None
    count: int


@dataclass(frozen=True)
class RunFacts:
    """One run, as its card tells of it.

    Attributes:
        base_id: Where others find the base model: its hub id; None for a folder of this machine that nobody else has.
        data_id: The data set's hub id, where it has one.
        trained_s: Seconds that training took, without waiting and loading.
        first_loss, last_loss: Training loss over the first and the last tenth of the steps.
        environment: Versions and machine, as the run noted them when it began.
    """

    run_id: str
    name: str
    spec: RunSpec
    base_id: str | None
    base_licence: str | None
    data_id: str | None
    plan: ev.Planned | None
    steps: int | None
    first_loss: Spread | None
    last_loss: Spread | None
    evaluations: tuple[ev.Evaluated, ...]
    environment: dict[str, str | int | float | None]
    trained_s: float | None
    peak_bytes: float | None
    tokens: float | None
    cost_usd: Decimal | None


def read_facts(run: Run, *, base: str | None = None) -> RunFacts:
    """Read them. ``base``: the base model's hub id, where the run only knows a folder."""
    state, spec = run.read()[0], run.spec
    rows = merge_steps(read_metrics(run.folder.metrics))
    losses = [values["loss"] for _, values in sorted(rows.items()) if math.isfinite(values.get("loss", math.nan))]
    share = max(1, len(losses) // LAST_SHARE)
    actual = measure(read_events(run.folder.events), run.folder, state)
    folder = find_prepared(spec.model, run.folder.home)
    named = _HUB.fullmatch(spec.data.origin)
    return RunFacts(
        run_id=run.id,
        name=state.name,
        spec=spec,
        base_id=base or find_base_id(spec.model),
        base_licence=find_licence(spec.model, folder or Path(spec.model)),
        data_id=named[1] if named else None,
        plan=state.plan,
        steps=state.adapter.step if state.adapter else None,
        first_loss=_spread(losses[:share]),
        last_loss=_spread(losses[-share:]),
        evaluations=state.evaluations,
        environment=dict(state.environment),
        trained_s=actual.seconds.get("training") or None,
        peak_bytes=actual.memory_bytes,
        tokens=max((values["tokens"] for values in rows.values() if "tokens" in values), default=None),
        cost_usd=None if run.provider == "local" else run.cost,
    )


def find_base_id(model: str) -> str | None:
    """The hub id of a base model as a spec names it."""
    if embedded := find_embedded(model):
        return embedded.hub_id
    return model if not looks_like_path(model) and is_hub_id(model) and not Path(model).exists() else None


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))
