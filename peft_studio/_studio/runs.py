"""The part of the studio that has to do with runs: start, find, compare, talk to the result."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from peft_studio._studio.home import tell
from peft_studio._studio.plan import Planning
from peft_studio.core.errors import NotReadyError, SpecError, StudioError, nearest

if TYPE_CHECKING:
    from peft_studio.core.chat import Chat
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.ports.compute import Compute
    from peft_studio.core.runs.adapter import Adapter
    from peft_studio.core.runs.folder import RunFolder
    from peft_studio.core.services.comparison import Comparison
    from peft_studio.core.services.run import Run
    from peft_studio.core.services.runs import RunList
    from peft_studio.core.services.sweep import Sweep
    from peft_studio.widgets._panel import Panel


class Running(Planning, ABC):
    """Runs and their results."""

    @abstractmethod
    def panel(self, name: str | None = None, run_id: str | None = None) -> Panel:
        """A panel as a plain widget; without a name the whole studio."""

    def launch(self, spec: ExplainedSpec, *, compute: str = "local", **changes: Any) -> Run:
        """Start a run and return at once. It goes on whatever happens to this process.

        A base model that is not here yet is brought first, with the account that is connected; a run has no key.

        Raises:
            NotReadyError: Preflight found blocking problems.
        """
        from peft_studio.core.models.prepared import settle_name
        from peft_studio.core.runs.prediction import save_prediction

        if compute != "local":
            raise SpecError(
                f"There is no compute {compute!r} here.", hint=nearest(compute, ["local"]), fields=("compute",)
            )
        spec = spec.replace(**changes) if changes else spec
        if (
            spec.remote_code is None
        ):  # one with code of its own comes at the commit that the spec names: the run brings it
            self._bring_model(spec.model, tell)
        check = self.check(spec)
        if not check.ready:
            blocking = [problem for problem in check.problems if problem.severity == "blocking"]
            raise NotReadyError(
                "Not ready:\n" + "\n".join(map(str, blocking)), fields=tuple(p.field for p in blocking if p.field)
            )
        expected = self.quote(spec, measure=False).prediction  # before the run takes the memory that is free
        folder = self._store().create(spec.replace(model=settle_name(spec.model)))
        save_prediction(folder, expected)
        run = self._run(folder.id)
        self._compute().submit_job(folder)
        self.session.choose(run_id=run.id)
        return run

    def run(self, run_id: str) -> Run:
        """A run by its id, whoever started it.

        Raises:
            RunNotFound: There is none in this home.
        """
        return self._run(run_id)

    def runs(
        self,
        *,
        status: str | None = None,
        provider: str | None = None,
        since: str | datetime | None = None,
        text: str = "",
        limit: int = 50,
    ) -> RunList:
        """Runs of this home, newest first. ``since`` is a time or an age such as ``"7d"``."""
        from peft_studio.core.runs.state import STATES
        from peft_studio.core.services.runs import RunList, parse_since

        if status is not None and status not in STATES:
            raise StudioError(f"There is no status {status!r}.", hint=nearest(status, STATES))
        rows = self._store().list_rows(
            status=status, provider=provider, since_at=parse_since(since), text=text, limit=limit
        )
        return RunList(rows, self._run, find_costs=self._find_costs)

    def compare(self, runs: Iterable[Run | str]) -> Comparison:
        """Runs, or their ids, side by side: ``.table()`` and ``.plot()``."""
        from peft_studio.core.services.comparison import Comparison

        return Comparison([self._run(run) if isinstance(run, str) else run for run in runs])

    def sweep(self, spec: ExplainedSpec | Run | str, *, max_steps: int | None = None, compute: Any = "local") -> Sweep:
        """Try a third, once and three times a spec's learning rate in three short real runs; or open a sweep again by its id.

        Args:
            spec: A spec, or a run whose spec is meant, which becomes the runs' parent; or a sweep's id.
            max_steps: Optimizer steps of each; 30 unless given, or the spec's own where those are fewer.
            compute: Where, as in :meth:`launch`; a cluster trains as many at once as it has room for.

        Raises:
            NotReadyError: Preflight found blocking problems.
            RunNotFound: There is no sweep of that id.
        """
        from peft_studio.core.services.run import Run
        from peft_studio.core.services.sweep import Sweep, find_sweep_runs, new_sweep_id, plan_sweep

        if isinstance(spec, str):
            return Sweep(spec, [self._run(run_id) for run_id in find_sweep_runs(self._store(), spec)])
        if isinstance(spec, Run):
            spec = spec.spec.replace(parent_run=spec.id)
        sweep_id = new_sweep_id()
        return Sweep(
            sweep_id, [self.launch(one, compute=compute) for one in plan_sweep(spec, sweep_id, max_steps=max_steps)]
        )

    def chat(
        self, model: str, *, adapters: Mapping[str, Adapter | str | os.PathLike[str]] | None = None, **options: Any
    ) -> Chat:
        """Talk to a base model and adapters on it, in a process of its own. The base loads once.

        Raises:
            AdapterMismatch: One is no adapter, or does not fit. ModelFailure: The base cannot be had or loaded.
        """
        from peft_studio.core.chat import Chat
        from peft_studio.core.chat.joining import get_path
        from peft_studio.core.models.adapter_files import read_adapter
        from peft_studio.core.services.prepare import require_train_extra

        require_train_extra()
        for adapter in (adapters or {}).values():  # before a base is fetched for it, which may take minutes
            read_adapter(get_path(adapter))
        return Chat.open(self.prepare(model), adapters=adapters, **options)

    def _run(self, run_id: str) -> Run:
        from peft_studio.core.services.run import Run

        store = self._store()
        folder = store.folder(run_id)
        return Run(folder, store=store, compute=self._find_compute(folder), show=lambda run: self.panel("run", run.id))

    def _find_costs(self) -> Mapping[str, Decimal]:
        """Dollars of rented runs, by id."""
        return {}

    def _find_compute(self, folder: RunFolder) -> Compute:
        """Where a run is, or was."""
        local: Compute = self._compute()
        return local
