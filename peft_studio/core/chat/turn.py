"""Who may use the line to a chat process now: one exchange at a time, and no thread waits for itself."""

from __future__ import annotations

import threading

from peft_studio.core.errors import ChatError


class Turn:
    """A lock for one exchange. Other threads wait; the thread that holds it gets an error instead of a deadlock.

    An open stream holds it until it is read to its end or closed, which may happen in another thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    def __enter__(self) -> None:
        if self._holder == threading.get_ident():
            raise ChatError(
                "An answer is still being streamed in this thread.",
                hint="Read it to its end, or close the stream, first.",
            )
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._holder = None
        self._lock.release()
