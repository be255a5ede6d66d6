"""What is chosen in this kernel: one session that code, panels and the sidebar share. Holds values, acts on nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft_studio.core.data import Dataset
    from peft_studio.core.defaults import ExplainedSpec


@dataclass(frozen=True, slots=True)
class Choice:
    """One moment of a session.

    ``panel`` is the step that the studio shows, ``draft`` the spec that would be launched next, ``overlaid`` the ids of
    runs whose losses are drawn over those of the run shown.
    """

    panel: str | None = None
    model: str | None = None
    data: Dataset | None = None
    draft: ExplainedSpec | None = None
    run_id: str | None = None
    overlaid: tuple[str, ...] = ()


class Session:
    """Any thread may read and choose. Readers ask again; nobody is called back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Choice()

    def __repr__(self) -> str:
        now = self._now
        return f"Session(model={now.model!r}, run_id={now.run_id!r})"

    @property
    def now(self) -> Choice:
        """What is chosen now. Frozen: read it once and it agrees with itself."""
        return self._now

    def choose(self, **changes: Any) -> Choice:
        """Choose something else; what is not named stays."""
        with self._lock:
            self._now = replace(self._now, **changes)
            return self._now

    def choose_if(self, before: Choice, **changes: Any) -> bool:
        """Choose only if model, data and draft are still those of ``before``: for changes that were worked out from them."""
        with self._lock:
            now = self._now
            if now.model != before.model or now.data is not before.data or now.draft is not before.draft:
                return False
            self._now = replace(now, **changes)
            return True
