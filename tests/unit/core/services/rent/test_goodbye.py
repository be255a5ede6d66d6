"""A machine that is to be gone is told so, and no other one ever is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from peft_studio.core.errors import Unavailable
from peft_studio.core.services.rent.goodbye import AGAIN_S, LATE_S, Goodbye
from peft_studio.core.services.rent.record import Record, Wish
from tests.unit.core.services.rent.world import at, made, record


class Node:
    """A machine that hears, or does not."""

    def __init__(self) -> None:
        self.fails = False
        self.asked: list[float] = []
        self.reached = self.closed = 0
        self.at_s = 0.0

    def reach(self, record: Record) -> Any:
        self.reached += 1
        return self

    def let_go(self) -> None:
        self.asked.append(self.at_s)
        if self.fails:
            raise Unavailable("nobody answers there")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def goodbye(node: Node) -> Goodbye:
    return Goodbye(node.reach, lambda: at(node.at_s))


def say(goodbye: Goodbye, node: Node, one: Record, *seconds: float) -> list[float]:
    for node.at_s in seconds:
        goodbye.say(one)
    return node.asked


LEAVING = record(made(leaving="budget", leaving_at=at(100)))


@pytest.mark.parametrize(
    "one",
    [
        record(made()),
        record(made(), Wish(ready=True, fetching=True)),
        record(made(saving="budget", saving_at=at(50)), Wish(idle="stop")),
        record(made(), Wish(end="completed")),
        record(made(leaving="budget", leaving_at=at(9_999))),
        record(made(leaving="completed", leaving_at=at(100), closed_at=at(300))),
        record(replace(LEAVING.done, instance_id="")),
    ],
    ids=("works", "is fetched from", "saves", "only said to be gone", "just decided", "proven gone", "never made"),
)
def test_a_machine_that_may_be_wanted_is_not_even_called(node: Node, goodbye: Goodbye, one: Record) -> None:
    """Only a decision that is on disk, and is never taken back, makes it unwanted; its provider has some seconds to do as it is asked."""
    say(goodbye, node, one, 9_999)
    assert node.reached == 0


def test_it_is_told_once(node: Node, goodbye: Goodbye) -> None:
    """A machine that heard it goes on by itself."""
    assert say(goodbye, node, LEAVING, 100, 100 + LATE_S, 200, 300) == [100 + LATE_S]
    assert node.closed == node.reached == 1


def test_one_that_does_not_hear_it_is_told_again(node: Node, goodbye: Goodbye) -> None:
    """Not at every look."""
    node.fails = True
    assert say(goodbye, node, LEAVING, 200, 201, 200 + AGAIN_S, 201 + AGAIN_S) == [200, 200 + AGAIN_S]
    node.fails = False
    assert say(goodbye, node, LEAVING, 300, 400)[2:] == [300]
    assert node.closed == 3


def test_one_without_an_address_hears_nothing(node: Node) -> None:
    """And is looked for again."""
    looked = list[float]()
    goodbye = Goodbye(lambda record: looked.append(node.at_s), lambda: at(node.at_s))  # type: ignore[func-returns-value]
    say(goodbye, node, LEAVING, 200, 300)
    assert looked == [200, 300]


def test_the_next_machine_of_a_run_has_a_goodbye_of_its_own(node: Node, goodbye: Goodbye) -> None:
    """One hears it, and then the other."""
    other = replace(LEAVING, intent=replace(LEAVING.intent, label="ps-aaaaaa-other-2-7fffffff"))
    say(goodbye, node, LEAVING, 200)
    assert say(goodbye, node, other, 300) == [200, 300]
