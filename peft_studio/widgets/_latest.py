"""Slow work beside a panel: the newest thing asked is done, one at a time; what was asked in between is passed over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from peft_studio.widgets._feed import guarded

Value = TypeVar("Value")


class Done(NamedTuple, Generic[Value]):
    """What came of the work asked for under ``key``: a value, or a problem as panels show it."""

    key: Any
    value: Value | None
    problem: dict[str, str] | None


class Latest(Generic[Value]):
    """One line of work with one thread, which lives only while there is something to do. Keys are compared with ``==``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting: tuple[Any, Callable[[], Value]] | None = None
        self._working = False
        self.asked: Any = None  # the newest key
        self.done: Done[Value] | None = None

    @property
    def busy(self) -> bool:
        """Whether what was asked last is still to come."""
        return self._working

    def ask(self, key: Any, work: Callable[[], Value]) -> None:
        """Have ``work`` done on another thread, unless this key is the newest already."""
        with self._lock:
            if key == self.asked:
                return
            self.asked, self._waiting = key, (key, work)
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, name=f"peft-studio-{self._name}", daemon=True).start()

    def find(self, key: Any) -> Done[Value] | None:
        """What came of this key, once it has come and is still the newest."""
        done = self.done
        return done if done is not None and done.key == key else None

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._waiting is None:
                    self._working = False
                    return
                key, work = self._waiting
                self._waiting = None
            value, problem = guarded(work, self._name)
            with self._lock:
                self.done = Done(key, value, problem)
