"""A thread that looks: once at a time, and what goes wrong on it is seen."""

from __future__ import annotations

import threading

import pytest

from peft_studio.widgets._looker import Looker
from tests.conftest import wait_for


def test_it_looks_at_once_and_then_when_it_is_due() -> None:
    """Never twice at a time."""
    looks: list[str] = []
    free = threading.Event()
    free.set()

    def look() -> None:
        free.wait(10)
        looks.append(threading.current_thread().name)

    looker = Looker(look, name="test")
    assert len(looks) == 1
    assert not looker.again(due=False)
    free.clear()
    assert looker.again(due=True)
    assert looker.again(due=True)
    free.set()
    wait_for(lambda: not looker.again(due=False), "the second look")
    looker.close()

    assert [name.startswith("peft-studio-test") for name in looks] == [True, True]


def test_what_goes_wrong_is_raised_once() -> None:
    """And the next look may go well."""
    faults = [ValueError("no")]

    def look() -> None:
        if faults:
            raise faults.pop()

    looker = Looker(look, name="test")
    with pytest.raises(ValueError, match="no"):
        looker.again(due=True)
    assert looker.again(due=True)
    wait_for(lambda: not looker.again(due=False), "the look that went well")
    looker.close()
