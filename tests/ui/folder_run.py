"""A run that is only its folder: what a panel asks of a run, answered from real files in the real format.

``stop`` and ``resume`` leave a note in the folder, which the process that writes it obeys, as an agent would.
"""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path

from peft_studio.core.compute.ledger import Total
from peft_studio.core.ports.compute import RunMeter
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
    def meter(self) -> RunMeter | None:
        return None

    def read(self) -> tuple[RunState, Standing]:
        state = fold(read_events(self.folder.events))
        return state, current_standing(self.folder, state, now=time.time())

    def stop(self, *, save: bool = True) -> None:
        self._ask(stop=True, save=save)

    def resume(self, *, max_usd: str | None = None) -> None:
        self._ask(resume=True)

    def _ask(self, **what: bool) -> None:
        write_private(
            self.folder.path / "asked.json", json.dumps(what)
        )  # whole at once: the other process reads it as it appears


class RentedRun(FolderRun):
    """One whose machine its budget has ended: $1.98 of $2 are spent. With what cap it is to go on is written down."""

    @property
    def meter(self) -> RunMeter:
        spent = Total(Decimal("1.98"))
        return RunMeter(
            spent, None, Decimal(2), "runpod", "NVIDIA L4", "ps-1", None, ended="budget", dearest_usd_per_hour=Decimal(2)
        )  # fmt: skip

    def resume(self, *, max_usd: str | None = None) -> None:
        write_private(self.folder.path / "asked.json", json.dumps({"max_usd": max_usd}))
