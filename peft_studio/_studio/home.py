"""Where a studio lives, and how its parts are wired: one home of runs and models, its store, its compute."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import Offline
from peft_studio.core.session import Session
from peft_studio.core.system import home_folder

if TYPE_CHECKING:
    from peft_studio.core.data import Dataset
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.ports.download import Progress
    from peft_studio.core.spec import Basis


OFFLINE_SWITCH = "PEFT_STUDIO_OFFLINE"
SAY_S = 5.0


class Home:
    """One home of runs and models, and the session that code and panels share."""

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._opened: Path | None = None
        self._datasets: dict[str, Dataset] = {}
        self._made_on: dict[
            tuple[str, str], Basis
        ] = {}  # of specs from files, by model and data: the machine they come from
        self.session = Session()

    @property
    def home(self) -> Path:
        """Where runs and models are kept; made on first use."""
        with self._lock:
            if self._opened is None:
                path = home_folder(self._home)
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._opened = path
            return self._opened

    def _require_network(self, what: str) -> None:
        """Let pass what needs the network, or raise Offline. What knows more of the network says it in its place."""
        if os.environ.get(OFFLINE_SWITCH, "") not in {"", "0"}:
            raise Offline(f"{what} needs the network, and {OFFLINE_SWITCH} is set.", hint="Unset it, and try again.")

    def _store(self) -> Any:
        from peft_studio.core.runs.store import RunStore

        return RunStore(self.home)

    def _compute(self) -> Any:
        from peft_studio.connectors.local.connector import LocalCompute

        return LocalCompute(require_network=self._require_network)

    def _data_of(self, spec: ExplainedSpec) -> Dataset:
        from peft_studio.core.data import open_ref

        known = self._datasets.get(spec.data.sha256)
        return known if known is not None and known.ref == spec.data else open_ref(spec.data)


def tell(text: str) -> None:
    """Say what is being done where nothing else shows it: downloads and conversions take minutes."""
    print(text, file=sys.stderr)


class ProgressLine:
    """Says how far a download is, a line every few seconds."""

    def __init__(self, what: str) -> None:
        self._what, self._said_at = what, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        from peft_studio.core.services.download import say_progress

        if time.monotonic() - self._said_at >= SAY_S:
            self._said_at = time.monotonic()
            tell(f"{self._what}: {say_progress(progress)}")
