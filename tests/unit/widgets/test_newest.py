"""Slow work of panels: only the newest question is answered, and nothing that goes wrong is lost."""

from __future__ import annotations

import threading
from typing import Any

from peft_studio.widgets._newest import Newest
from tests.conftest import wait_for


def settle(newest: Newest[Any]) -> Any:
    """Its answer, once it has one."""
    wait_for(lambda: not newest.busy, "an answer")
    return newest.value


def test_an_answer_that_comes_too_late_is_dropped() -> None:
    """The slow work of an older question ends after the newer one's, and changes nothing."""
    newest: Newest[str] = Newest("test")
    gate, ended = threading.Event(), threading.Event()

    def slow() -> str:
        gate.wait(20)
        ended.set()
        return "old"

    newest.ask("old", slow)
    newest.ask("new", lambda: "new")
    assert settle(newest) == "new"
    gate.set()
    assert ended.wait(20)
    working = "peft-studio-test"
    wait_for(lambda: not any(t.name == working for t in threading.enumerate()), "the slow work's end")
    assert newest.value == "new"


def test_a_burst_is_one_piece_of_work() -> None:
    """Of questions in quick succession only the last is worked on."""
    newest: Newest[Any] = Newest("test", wait_s=0.2)
    done: list[int] = []
    for number in range(20):
        newest.ask(number, lambda number=number: done.append(number))  # type: ignore[misc]
    settle(newest)
    assert done == [19]


def test_the_same_question_is_asked_once() -> None:
    """Until it is to be asked again."""
    newest: Newest[Any] = Newest("test")
    done: list[int] = []
    newest.ask("same", lambda: done.append(1))
    settle(newest)
    newest.ask("same", lambda: done.append(2))
    assert not newest.busy
    newest.ask("same", lambda: done.append(3), again=True)
    settle(newest)
    assert done == [1, 3]


def test_a_problem_is_the_answer() -> None:
    """What the work raises is kept in words; a good answer after it ends it; forgetting drops both."""
    newest: Newest[Any] = Newest("test")
    newest.ask(1, lambda: 1 / 0)
    assert settle(newest) is None
    assert newest.problem
    assert "ZeroDivisionError" in newest.problem["message"]
    newest.ask(2, lambda: "fine")
    assert settle(newest) == "fine"
    assert newest.problem is None
    newest.forget()
    assert (newest.value, newest.busy) == (None, False)


def test_work_that_takes_turns_is_done_one_at_a_time() -> None:
    """Newer work begins when the older has ended; what was asked in between is never begun."""
    newest: Newest[str] = Newest("test", turns=True)
    begun, gate, said = threading.Event(), threading.Event(), []

    def slow() -> str:
        begun.set()
        gate.wait(20)
        said.append("first")
        return "first"

    newest.ask(1, slow)
    assert begun.wait(20)
    newest.ask(2, lambda: said.append("second") or "second")
    newest.ask(3, lambda: said.append("third") or "third")
    gate.set()
    assert settle(newest) == "third"
    assert said == ["first", "third"]
    assert newest.find(1) is None
    found = newest.find(3)
    assert found is not None
    assert found.value == "third"
