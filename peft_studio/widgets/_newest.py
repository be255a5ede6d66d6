"""Slow work for a panel, off the thread that feeds it: of several questions only the newest is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Generic, NamedTuple, TypeVar

from peft_studio.widgets._feed import guarded

Value = TypeVar("Value")


class Answer(NamedTuple, Generic[Value]):
    """What came of a question: a value, or a problem as panels show it."""

    question: Any
    value: Value | None
    problem: dict[str, str] | None


class Newest(Generic[Value]):
    """Answers the newest question on a thread of its own; an answer that comes after a newer question is dropped.

    ``wait_s`` is how long a question must stand before it is worked on, so that a burst of changes is one piece of
    work. With ``turns`` work begins only when older work has ended. Questions are compared with ``==``. ``version``
    changes with every question and every answer.
    """

    def __init__(self, name: str, *, wait_s: float = 0.0, turns: bool = False) -> None:
        self._name, self._wait_s = name, wait_s
        self._turn = threading.Lock() if turns else nullcontext()
        self._news = threading.Condition()
        self._asked: Any = None
        self._number = 0
        self._answered = 0
        self.answer: Answer[Value] | None = None
        self.version = 0

    @property
    def busy(self) -> bool:
        """Whether a question waits for its answer."""
        return self._answered < self._number

    @property
    def value(self) -> Value | None:
        """The last answer's; None where there was a problem, or nothing yet."""
        return self.answer.value if self.answer else None

    @property
    def problem(self) -> dict[str, str] | None:
        """The last answer's."""
        return self.answer.problem if self.answer else None

    def find(self, question: Any) -> Answer[Value] | None:
        """The answer to this question, once it has come and while there is no newer one."""
        answer = self.answer
        return answer if answer is not None and answer.question == question else None

    def ask(self, question: Any, work: Callable[[], Value], *, again: bool = False) -> None:
        """Have ``work`` done, unless ``question`` equals the one asked last and it is not to be asked ``again``."""
        with self._news:
            if question == self._asked and not again:
                return
            self._asked = question
            self._number += 1
            self.version += 1
            self._news.notify_all()
            number = self._number
        name = f"peft-studio-{self._name}"
        threading.Thread(target=self._work, args=(number, question, work), name=name, daemon=True).start()

    def forget(self) -> None:
        """Drop the question, and its answer when it comes."""
        with self._news:
            if self._asked is None:
                return
            self._asked = self.answer = None
            self._number += 1
            self._answered = self._number
            self.version += 1

    def _work(self, number: int, question: Any, work: Callable[[], Value]) -> None:
        with self._news:
            if self._news.wait_for(lambda: number != self._number, self._wait_s):
                return
        with self._turn:
            if number != self._number:
                return
            value, problem = guarded(work, self._name)
        with self._news:
            if number == self._number:
                self.answer = Answer(question, value, problem)
                self._answered = number
                self.version += 1
                self._news.notify_all()
