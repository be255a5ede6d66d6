"""Reads on a thread of its own, so that a slow disk or keystore holds up no other panel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

_PATIENCE_S = 1.0  # so that a first update has something to show, as a rule


class Looker:
    """Calls ``look`` again and again, once at a time. The first time at once."""

    def __init__(self, look: Callable[[], None], *, name: str) -> None:
        self._look = look
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"peft-studio-{name}")
        self._looking: Future[None] | None = self._pool.submit(look)
        wait([self._looking], timeout=_PATIENCE_S)

    def again(self, *, due: bool) -> bool:
        """Look once more if that is due and has ended; returns whether it is looking. What went wrong is raised here, once a look."""
        done = self._looking if self._looking and self._looking.done() else None
        if done or self._looking is None:
            self._looking = self._pool.submit(self._look) if due else None
        if done:
            done.result()
        return self._looking is not None

    def close(self) -> None:
        """End the thread when it has looked."""
        self._pool.shutdown(wait=False, cancel_futures=True)
