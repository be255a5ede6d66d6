"""The simulator finds what somebody could write wrong, and finds nothing where nothing is wrong."""

from __future__ import annotations

import pytest

from tests.simulator.mutants import MUTANTS, NEEDS, hunt
from tests.simulator.play import play_seeds


@pytest.mark.slow
@pytest.mark.parametrize("faults", sorted(set(NEEDS.values())), ids="+".join)
def test_without_the_bug_the_same_launches_keep_every_promise(faults: tuple[str, ...]) -> None:
    """So that it is the bug that is found."""
    assert play_seeds(range(60), faults=faults).broken == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    """What somebody could write wrong in one line breaks a promise here."""
    _, promise, _ = hunt(name)

    assert promise


def test_there_are_many_planted_bugs() -> None:
    """At least 25, or the simulator has not been tried."""
    assert len(MUTANTS) >= 25
