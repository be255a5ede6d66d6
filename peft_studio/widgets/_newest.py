"""Slow work for a panel, off the thread that feeds it: of several questions only the newest is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from peft_studio.widgets._feed import guarded


class Newest:
    """Answers one question at a time, each on a thread of its own; an answer that comes after a newer question is dropped.

    ``wait_s`` is how long a question must stand before it is worked on, so that a burst of changes is one piece of
    work. ``version`` changes with every question and every answer.
    """

    def __init__(self, *, wait_s: float = 0.0) -> None:
        self._wait_s = wait_s
        self._news = threading.Condition()
        self._asked: Any = None
        self._number = 0
        self._answered = 0
        self.value: Any = None
        self.problem: dict[str, str] | None = None
        self.version = 0

    @property
    def busy(self) -> bool:
        """Whether a question waits for its answer."""
        return self._answered < self._number

    def ask(self, question: Any, work: Callable[[], Any], *, again: bool = False) -> None:
        """Have ``work`` done, unless ``question`` equals the one asked last and it is not to be asked ``again``."""
        with self._news:
            if question == self._asked and not again:
                return
            self._asked = question
            self._number += 1
            self.version += 1
            self._news.notify_all()
            number = self._number
        name = "peft-studio-work"
        threading.Thread(target=self._answer, args=(number, work), name=name, daemon=True).start()

    def forget(self) -> None:
        """Drop the question, and its answer when it comes."""
        with self._news:
            if self._asked is None:
                return
            self._asked = self.value = self.problem = None
            self._number += 1
            self._answered = self._number
            self.version += 1

    def _answer(self, number: int, work: Callable[[], Any]) -> None:
        with self._news:
            if self._news.wait_for(lambda: number != self._number, self._wait_s):
                return
        value, problem = guarded(work, "TrainWork")
        with self._news:
            if number == self._number:
                self.value, self.problem = value, problem
                self._answered = number
                self.version += 1
                self._news.notify_all()
