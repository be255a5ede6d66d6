"""Where a studio lives, and how its parts are wired: one home of runs and models, its store, its compute."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import Offline, StudioError
from peft_studio.core.session import Session
from peft_studio.core.system import home_folder

if TYPE_CHECKING:
    from peft_studio.core.data import Dataset
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.ports.download import Progress
    from peft_studio.core.spec import Basis


Say = Callable[[str], None]
OFFLINE_SWITCH = "PEFT_STUDIO_OFFLINE"
SAY_S = 5.0


if TYPE_CHECKING:
    once = cached_property
else:

    class once(cached_property):
        """A cached_property that is made once, whichever of a studio's threads asks first."""

        def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
            if instance is None:
                return self
            with instance._wiring:
                return super().__get__(instance, owner)


class Home:
    """One home of runs and models, and the session that code and panels share."""

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._home = home
        self._lock, self._wiring = threading.Lock(), threading.RLock()
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
            if self._opened is not None:
                return self._opened
            path = home_folder(self._home)
            try:
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as exc:
                raise StudioError(
                    f"{path} cannot be the home of runs and models: {exc.strerror or exc}.",
                    hint="Name another folder: PEFT_STUDIO_HOME, Studio(home=…), or --home in a terminal.",
                ) from exc
            self._opened = path
        self._begin()
        return path

    def _begin(self) -> None:
        """What is to be done in the background, now that the home is open."""

    def _connected(self, platform: str) -> None:
        """Told of each platform that was connected."""

    def _require_network(self, what: str) -> None:
        """Let pass what needs the network, or raise Offline. What knows more of the network says it in its place."""
        if os.environ.get(OFFLINE_SWITCH, "") not in {"", "0"}:
            raise Offline(f"{what} needs the network, and {OFFLINE_SWITCH} is set.", hint="Unset it, and try again.")

    def _bring_model(self, model: str, say: Say) -> None:
        """Bring a base model that only the hub has, where a connector here can. What is left, the runner brings."""

    def _bring_dataset(self, repo: str, say: Say) -> Path | None:
        """The folder of a hub's data set, where a connector here can bring it."""

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

    def __init__(self, what: str, say: Say = tell) -> None:
        self._what, self._say, self._said_at = what, say, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        from peft_studio.core.services.download import say_progress

        if time.monotonic() - self._said_at >= SAY_S:
            self._said_at = time.monotonic()
            self._say(f"{self._what}: {say_progress(progress)}")
