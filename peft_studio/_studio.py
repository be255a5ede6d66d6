"""The studio: the object a notebook or script holds, and the only place that wires core, connectors and panels together."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import NotReadyError, SpecError, StudioError, nearest
from peft_studio.core.session import Session
from peft_studio.core.system import home_folder

if TYPE_CHECKING:
    from peft_studio.core.chat import Chat
    from peft_studio.core.data import Dataset
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.runs.adapter import Adapter
    from peft_studio.core.services.check import Check
    from peft_studio.core.services.comparison import Comparison
    from peft_studio.core.services.run import Run
    from peft_studio.core.services.runs import RunList
    from peft_studio.widgets._panel import Panel

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


class Studio:
    """One home of runs and models. Two studios on one home see the same runs.

    Args:
        home: Folder for runs and models; else ``$PEFT_STUDIO_HOME``, else the platform's data folder.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._opened: Path | None = None
        self._datasets: dict[str, Dataset] = {}
        self.session = Session()

    def __repr__(self) -> str:
        return f"Studio(home={str(self.home)!r})"

    @property
    def home(self) -> Path:
        """Where runs and models are kept; made on first use."""
        with self._lock:
            if self._opened is None:
                path = home_folder(self._home)
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._opened = path
            return self._opened

    def data(
        self,
        source: Any,
        *,
        columns: Mapping[str, str] | None = None,
        format: str | None = None,
        split: float = 0.0,
        seed: int = 0,
    ) -> Dataset:
        """Open training data: a file, folder, hub id, list of dicts or pandas frame.

        Args:
            source: CSV, JSON, JSONL, Parquet or text, a folder of such files, ``org/name`` on the hub, or rows.
            columns: Our column name → theirs, where recognition needs help.
            format: The format, where recognition is not to decide.
            split: Share of rows held out for evaluation.
            seed: Seed of the split.
        """
        from peft_studio.core.data import open_data
        from peft_studio.core.services.prepare import fetch_dataset

        origin = None
        if isinstance(source, str) and _HUB_ID.fullmatch(source) and not Path(source).exists():
            origin, source = f"hub:{source}", fetch_dataset(source, self.home, progress=_tell)
        data = open_data(
            source, folder_for_rows=self.home / "data", columns=columns, format=format, split=split, seed=seed,
            find_model=self.prepare, origin=origin,
        )  # fmt: skip
        self._datasets[data.ref.sha256] = data
        self.session.choose(data=data)
        return data

    def prepare(self, model: str) -> Path:
        """Bring a base model onto this machine and return its folder: converted, downloaded, or as it is."""
        from peft_studio.core.services.prepare import ensure_model

        return ensure_model(model, self.home, progress=_tell)

    def spec(self, *, model: str, data: Any, **fields: Any) -> ExplainedSpec:
        """Specify a run. Every field not given gets a default; ``spec.explain()`` says why.

        Raises:
            SpecError: A field is unknown or out of range.
        """
        from peft_studio.core.data import Dataset
        from peft_studio.core.defaults import ExplainedSpec
        from peft_studio.core.services.basis import build_basis

        data = data if isinstance(data, Dataset) else self.data(data)
        basis = build_basis(data, self.prepare(model), **fields)
        spec = ExplainedSpec.derive(model=model, data=data.ref, basis=basis, **fields)
        self.session.choose(model=model, data=data, draft=spec)
        return spec

    def check(self, spec: ExplainedSpec) -> Check:
        """Whether a spec is ready to launch here, and every problem with its fix."""
        from peft_studio.core.services.check import check_spec

        return check_spec(spec, self._data_of(spec), home=self.home)

    def launch(self, spec: ExplainedSpec, *, compute: str = "local", **changes: Any) -> Run:
        """Start a run and return at once. It goes on whatever happens to this process.

        Raises:
            NotReadyError: Preflight found blocking problems.
        """
        from peft_studio.core.models.prepared import settle_name

        if compute != "local":
            raise SpecError(
                f"There is no compute {compute!r} here.", hint=nearest(compute, ["local"]), fields=("compute",)
            )
        spec = spec.replace(**changes) if changes else spec
        check = self.check(spec)
        if not check.ready:
            blocking = [problem for problem in check.problems if problem.severity == "blocking"]
            raise NotReadyError(
                "Not ready:\n" + "\n".join(map(str, blocking)), fields=tuple(p.field for p in blocking if p.field)
            )
        folder = self._store().create(spec.replace(model=settle_name(spec.model)))
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
        return RunList(rows, self._run)

    def compare(self, runs: Iterable[Run | str]) -> Comparison:
        """Runs, or their ids, side by side: ``.table()`` and ``.plot()``."""
        from peft_studio.core.services.comparison import Comparison

        return Comparison([self._run(run) if isinstance(run, str) else run for run in runs])

    def chat(
        self, model: str, *, adapters: Mapping[str, Adapter | str | os.PathLike[str]] | None = None, **options: Any
    ) -> Chat:
        """Talk to a base model and adapters on it, in a process of its own. The base loads once."""
        from peft_studio.core.chat import Chat
        from peft_studio.core.services.prepare import require_train_extra

        require_train_extra()
        return Chat.open(self.prepare(model), adapters=adapters, **options)

    def export(self, spec_or_run: ExplainedSpec | Run, path: str | os.PathLike[str]) -> Path:
        """Write a spec to a file that ``load`` reads. It holds no secret and no rows."""
        from peft_studio.core.services.run import Run
        from peft_studio.core.services.spec_file import save_spec

        return save_spec(spec_or_run.spec if isinstance(spec_or_run, Run) else spec_or_run, path)

    def load(self, path: str | os.PathLike[str]) -> tuple[ExplainedSpec, list[str]]:
        """Read a spec file. The notes say what differs on this machine.

        Raises:
            SpecError: The file is not a spec, or of a newer version.
        """
        from peft_studio.core.services.spec_file import load_spec

        return load_spec(path)

    def show(self, panel: str | None = None, run_id: str | None = None) -> Panel:
        """Show the whole studio, or one panel: ``studio.show("run", run.id)``."""
        return self.panel(panel, run_id)

    def panel(self, name: str | None = None, run_id: str | None = None) -> Panel:
        """A panel as a plain widget; without a name the whole studio."""
        from peft_studio.widgets import open_panel

        return open_panel(self, name, run_id)

    @property
    def errors(self) -> list[Exception]:
        """What went wrong in panels, newest last. Each was shown where it happened too."""
        from peft_studio.widgets import ERRORS

        return list(ERRORS)

    def _run(self, run_id: str) -> Run:
        from peft_studio.core.services.run import Run

        store = self._store()
        return Run(
            store.folder(run_id), store=store, compute=self._compute(), show=lambda run: self.panel("run", run.id)
        )

    def _store(self) -> Any:
        from peft_studio.core.runs.store import RunStore

        return RunStore(self.home)

    def _compute(self) -> Any:
        from peft_studio.connectors.local.connector import LocalCompute

        return LocalCompute()

    def _data_of(self, spec: ExplainedSpec) -> Dataset:
        from peft_studio.core.data import open_ref

        known = self._datasets.get(spec.data.sha256)
        return known if known is not None and known.ref == spec.data else open_ref(spec.data)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
