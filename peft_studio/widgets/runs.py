"""The Runs panel: the home's runs by page, with filters, order, comparison, and what can be done with one.

The browser holds a window of the list, however long it is. Folders and the index are read on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft_studio.core.errors import RunStateError, StudioError, nearest
from peft_studio.core.runs.index import ORDERS
from peft_studio.core.runs.state import STATES
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.runs import parse_since
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._runs_source import RunsSource
from peft_studio.widgets._runs_view import runs_snapshot
from peft_studio.widgets._steps import STEPS
from peft_studio.widgets._text import plain

_FIRST_S, _LIVE_S, _QUIET_S = 0.05, 0.5, 1.0
_PATIENCE_S = 1.0  # so that the first update has the runs; a home not indexed yet may take longer
_MOST = 200  # rows the browser has at once
_COMPARED = 8  # there are eight series to tell apart


class RunsContent(Content):
    """All runs of the studio's home."""

    module = "runs"
    interval_s = _FIRST_S

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._source = RunsSource(RunStore(studio.home))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="peft-studio-runs")
        self._looking: Future[None] | None = self._pool.submit(self._source.look)
        wait([self._looking], timeout=_PATIENCE_S)

    def __repr__(self) -> str:
        return "RunsPanel()"

    def sections(self) -> dict[str, Any]:
        """The window as it was last read; reading goes on beside it."""
        if self._looking and self._looking.done():
            done, self._looking = self._looking, None
            done.result()
        if self._looking is None and self._source.is_due:
            self._looking = self._pool.submit(self._source.look)
        restless = self._source.restless or self._looking is not None
        self.interval_s = (_LIVE_S if restless else _QUIET_S) if self._source.sections else _FIRST_S
        if not self._source.sections:
            return {}
        return {**self._source.sections, "chosen": self._studio.session.now.run_id, "can_train": "train" in STEPS}

    def snapshot_html(self) -> str:
        """The first runs of the list."""
        self._source.look()
        page = self._source.sections["page"]
        return runs_snapshot(page["rows"][:10], page["total"], page["every"])

    def close(self) -> None:
        """End the reading thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- what the page asks for ---------------------------------------------------------------------------------

    @command
    def filter(self, text: str = "", state: str = "", provider: str = "", since: str = "") -> None:
        """Narrow the list; what is empty does not."""
        if state and state not in STATES:
            raise StudioError(f"There is no state {state!r}.", hint=nearest(state, STATES))
        parse_since(since or None)  # raises where it is no age
        query = replace(self._source.asked.query, text=text.strip(), status=state or None, provider=provider or None)
        self._source.ask(query=query, since=since, start=0)

    @command
    def sort(self, by: str, descending: bool) -> None:
        """Order the list by a column."""
        if by not in ORDERS:
            raise StudioError(f"Runs cannot be ordered by {by!r}.", hint=nearest(by, ORDERS))
        self._source.ask(query=replace(self._source.asked.query, order_by=by, descending=bool(descending)), start=0)  # type: ignore[arg-type]

    @command
    def page(self, start: int, count: int) -> None:
        """Move the window."""
        self._source.ask(start=max(0, int(start)), count=min(_MOST, max(1, int(count))))

    @command
    def compare(self, run_ids: Sequence[str]) -> None:
        """Show runs side by side; none ends it."""
        if len(run_ids) > _COMPARED:
            raise StudioError(f"At most {_COMPARED} runs fit side by side.", hint=f"{len(run_ids)} are selected.")
        self._source.ask(compared=tuple(self._source.store.folder(run_id).id for run_id in run_ids))

    # -- what can be done with runs -----------------------------------------------------------------------------

    @command
    def open(self, run_id: str) -> None:
        """Choose a run and show it."""
        self._studio.session.choose(run_id=self._source.store.folder(run_id).id, panel="run")

    @command
    def new(self) -> None:
        """Go to where a run is launched."""
        self._studio.session.choose(panel="train")

    @command
    def rerun(self, run_id: str) -> str:
        """Launch the same spec once more and show the new run."""
        run = self._studio.launch(self._studio.run(run_id).spec)
        self._studio.session.choose(run_id=run.id, panel="run")
        return run.id

    @command
    def resume(self, run_id: str) -> None:
        """Go on from the newest whole checkpoint."""
        self._studio.run(run_id).resume()
        self._source.look()

    @command
    def weigh(self, run_ids: Sequence[str]) -> dict[str, Any]:
        """What would be deleted: the runs by name, their bytes, and what cannot come back."""
        folders = [self._source.store.folder(run_id) for run_id in run_ids]
        return {
            "names": [plain(folder.load_spec().name or folder.id, limit=200) for folder in folders],
            "bytes": sum(_bytes(folder.path) for folder in folders),
            "checkpoints": sum(len(list(folder.checkpoints.glob("checkpoint-*"))) for folder in folders),
            "adapters": sum(folder.adapter.is_dir() for folder in folders),
        }

    @command
    def delete(self, run_ids: Sequence[str], confirmed: bool = False) -> int:
        """Delete runs, folders and all, and say how many. ``confirmed`` comes from the dialog that has said what is lost."""
        if confirmed is not True:
            raise RunStateError("Nothing was deleted.", hint="Confirm in the dialog that names what is lost.")
        for run_id in run_ids:
            self._studio.run(run_id).delete()
            if self._studio.session.now.run_id == run_id:
                self._studio.session.choose(run_id=None)
        self._source.ask(compared=tuple(one for one in self._source.asked.compared if one not in run_ids))
        return len(run_ids)


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
