"""A run that is only its folder: what a panel asks of a run, answered from real files in the real format.

``stop`` and ``resume`` leave a note in the folder, which the process that writes it obeys, as an agent would.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.state import RunState, Standing, fold
from peft_studio.core.runs.watch import current_standing
from peft_studio.core.spec import RunSpec
from peft_studio.core.system import write_private


class FolderRun:
    """See the module's docstring."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(Path(path))

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def spec(self) -> RunSpec:
        return RunSpec.from_json(self.folder.spec.read_text(encoding="utf-8"))

    @property
    def meter(self) -> None:
        return None

    def read(self) -> tuple[RunState, Standing]:
        state = fold(read_events(self.folder.events))
        return state, current_standing(self.folder, state, now=time.time())

    def stop(self, *, save: bool = True) -> None:
        self._ask(stop=True, save=save)

    def resume(self) -> None:
        self._ask(resume=True)

    def _ask(self, **what: bool) -> None:
        write_private(
            self.folder.path / "asked.json", json.dumps(what)
        )  # whole at once: the other process reads it as it appears
