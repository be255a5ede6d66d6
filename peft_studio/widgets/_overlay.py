"""Losses of other runs, to be laid over those of the run shown. Which ones, the session says; they are read beside the panel."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from peft_studio.core.errors import RunNotFound, StudioError
from peft_studio.core.runs.curve import coarser
from peft_studio.widgets._host import Host
from peft_studio.widgets._losses import Losses, columns_of
from peft_studio.widgets._newest import Newest
from peft_studio.widgets._runs_view import model_name
from peft_studio.widgets._text import plain

MOST = 4  # more lines cannot be told apart over a raw, a smoothed and an evaluation line
_POINTS = 240  # of a line: one every three pixels or so, and about 8 kB on the wire
_OFFERED = 30
_AGAIN_S = 2.0  # between looks at files that may have grown
_NAME = 200  # characters


class Overlay:
    """What is laid over one run."""

    def __init__(self, studio: Host, run_id: str) -> None:
        self._studio, self._run_id = studio, run_id
        self._losses = Losses()
        self._reading: Newest[dict[str, dict[str, Any]]] = Newest("overlay", turns=True)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Ids of the runs laid over this one, in the order they were chosen."""
        return tuple(one for one in self._studio.session.now.overlaid if one != self._run_id)[:MOST]

    def section(self) -> dict[str, Any]:
        """The lines as they were last read. Reading goes on on a thread of its own."""
        chosen = self.chosen
        if chosen:
            self._reading.ask((chosen, time.monotonic() // _AGAIN_S), lambda: self._read(chosen))
        done = self._reading.answer
        lines = (done and done.value) or {}
        return {
            "most": MOST,
            "chosen": list(chosen),
            "runs": [lines[run_id] for run_id in chosen if run_id in lines],
            "reading": bool(chosen) and (done is None or done.question[0] != chosen),
            "problem": done.problem if done and chosen else None,
        }

    def offer(self) -> list[dict[str, Any]]:
        """The newest runs that have trained a step, but for the one shown."""
        rows = self._studio.runs(limit=_OFFERED + 1).rows
        return [
            {"id": row.id, "name": plain(row.name, limit=_NAME), "model": model_name(row.model), "method": row.method,
             "rank": row.rank, "state": row.state}
            for row in rows if row.step and row.id != self._run_id
        ]  # fmt: skip

    def choose(self, run_ids: Sequence[str]) -> None:
        """Lay these runs over this one.

        Raises:
            StudioError: They are too many.
            RunNotFound: One is not in this home.
        """
        if len(run_ids) > MOST:
            raise StudioError(f"At most {MOST} runs can be laid over another.", hint="Remove one first.")
        self._studio.session.choose(overlaid=tuple(self._studio.run(run_id).id for run_id in run_ids))

    def _read(self, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        lines = {}
        for run_id in run_ids:
            try:
                run = self._studio.run(run_id)
            except RunNotFound:  # deleted meanwhile
                continue
            spec = run.spec
            buckets = coarser(self._losses.find(run_id, run.folder.metrics).buckets(), _POINTS)
            means, counts = [bucket.mean for bucket in buckets], [bucket.count for bucket in buckets]
            lines[run_id] = {
                "id": run_id, "name": plain(spec.name, limit=_NAME), "model": model_name(spec.model), "method": spec.method,
                "rank": spec.rank, "columns": columns_of(buckets, mean=means, count=counts),
            }  # fmt: skip
        return lines
