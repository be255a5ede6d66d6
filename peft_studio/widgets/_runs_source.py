"""What the Runs panel reads: a window of the index, curves of the runs in it, and a comparison. For one thread at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peft_studio.core.errors import RunNotFound
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.index import RunQuery, RunRow
from peft_studio.core.runs.state import LIVE, STATES
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.runs import parse_since
from peft_studio.widgets._losses import Losses
from peft_studio.widgets._runs_view import Compared, compare_code, comparison_view, list_code, row_view

_AGAIN_S = 30.0  # an age such as "7d" moves on although nothing changes
_SPARKS_S = 0.15  # for reading curves in one look; the others come with the next


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page wants to see. ``since`` is an age such as ``7d``, or nothing."""

    query: RunQuery = field(default_factory=RunQuery)
    since: str = ""
    start: int = 0
    count: int = 60
    compared: tuple[str, ...] = ()


class RunsSource:
    """Sections as they were last read. Any thread may ask; one reads at a time."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.asked = Asked()
        self.sections: dict[str, Any] = {}
        self.restless = True  # a run may be going on, or curves are still to be read
        self._losses = Losses()
        self._reading = threading.Lock()
        self._looked_at = 0.0  # on the monotonic clock
        self._seen: Any = None  # what the files were then

    def ask(self, **changes: Any) -> None:
        """Ask for something else, and read it."""
        with self._reading:
            self.asked = replace(self.asked, **changes)
        self.look()

    @property
    def is_due(self) -> bool:
        """Whether reading again may show something new. Costs three looks at the times of files."""
        since_s = time.monotonic() - self._looked_at
        return self.restless or since_s > _AGAIN_S or self._mark() != self._seen

    def _mark(self) -> Any:
        """Changes whenever the list may have: folders come and go, agents write their rows."""
        files = (self.store.runs, self.store.index.path, self.store.index.path.with_name("index.sqlite-wal"))
        return tuple((at.st_mtime_ns, at.st_size) for file in files if (at := _stat(file)) and at.st_size)

    def look(self) -> None:
        """Read what was asked for. One thread at a time."""
        with self._reading, self.store.index.held():
            asked, mark = self.asked, self._mark()
            self.store.catch_up()
            query = replace(asked.query, since_at=parse_since(asked.since or None))
            index = self.store.index
            total = index.count(query)
            start = min(asked.start, max(0, total - 1))
            rows = index.page(query, start, asked.count)
            every = total if query == RunQuery() else index.count(RunQuery())
            whole = self._losses.read([(row.id, self._folder(row.id).metrics) for row in rows], within_s=_SPARKS_S)
            self.restless = not whole or any(row.state in LIVE for row in rows)
            page = {"start": start, "rows": self._views(rows), "total": total, "every": every}
            self.sections = {
                "page": page,
                "sparks": {row.id: spark for row in rows if (spark := self._losses.spark(row.id))},
                "asked": {
                    "text": query.text, "state": query.status or "", "provider": query.provider or "",
                    "since": asked.since, "by": query.order_by, "descending": query.descending,
                },
                "providers": index.providers(),
                "states": list(STATES),
                "comparison": self._compare(asked.compared),
                "code": list_code(self.store.home, query, asked.since, total) + compare_code(asked.compared),
            }  # fmt: skip
            self._looked_at, self._seen = time.monotonic(), mark

    def _views(self, rows: Sequence[RunRow]) -> list[dict[str, Any]]:
        now = time.time()
        return [
            row_view(
                row,
                self._folder(row.id),
                self._losses.find(row.id, self._folder(row.id).metrics) if row.state in LIVE else None,
                now=now,
            )
            for row in rows
        ]

    def _compare(self, run_ids: Sequence[str]) -> dict[str, Any] | None:
        found = []
        for run_id in run_ids:
            try:
                folder = self.store.folder(run_id)
                row = self.store.index.find(run_id)
            except RunNotFound:  # deleted meanwhile
                continue
            if row:
                found.append(Compared(row, folder.load_spec(), self._losses.find(run_id, folder.metrics)))
        return comparison_view(found) if len(found) > 1 else None

    def _folder(self, run_id: str) -> RunFolder:
        return RunFolder(self.store.runs / run_id)


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
