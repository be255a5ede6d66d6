"""The promises on which money hangs, over thousands of launches with faults; and that the simulator finds what it is there to find."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.simulator.disk_store import DiskStore
from tests.simulator.mutants import MUTANTS
from tests.simulator.play import Report, crash_everywhere, crash_twice, play_all, play_seeds
from tests.simulator.scenario import FAULTS, LEASE_S, Scenario, draw
from tests.simulator.world import HOME, World

PARTS, SEEDS = 8, 12_000
STRESS_SEEDS = 120_000
BROKEN_ONCE = (10_062_320, 10_080_517, 30_047_203)  # seeds of marches that found a fault of the product


def check(report: Report) -> None:
    """Every promise was kept; what fails names the line that replays it."""
    assert report.broken == []
    assert report.machines > report.launches / 2


@pytest.mark.parametrize("calm", [False, True])
def test_every_promise_is_kept(calm: bool) -> None:
    """A part of the launches, for ``make check``."""
    check(play_all((draw(seed, calm=calm), calm, False) for seed in range(400)))


def test_what_was_found_once_is_mended() -> None:
    """Each of these broke a promise before the code was what it is now."""
    check(play_seeds(BROKEN_ONCE))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_is_kept_in_thousands(part: int) -> None:
    """12,000 launches, each with one to three faults: no second machine, none forgotten, no lease overrun, no budget, no stranger touched."""
    report = play_seeds(range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS))

    check(report)
    assert set(report.faults) == set(FAULTS)
    assert report.longest_unowned_s > LEASE_S / 2  # the bound was reached for


@pytest.mark.slow
@pytest.mark.parametrize("down_s", [5.0, 100.0, 1800.0])
def test_killed_at_every_boundary(down_s: float) -> None:
    """The process is killed before and after each durable write and each call to a provider, once each, and comes back."""
    scenarios: Iterable[tuple[Scenario, bool, bool]] = itertools.chain(
        crash_everywhere(range(14), (down_s,), calm=True), crash_everywhere(range(4), (down_s,), calm=False)
    )
    report = play_all(scenarios)

    check(report)
    assert report.launches > 1_500


@pytest.mark.slow
def test_killed_twice() -> None:
    """Pairs of kills, the second often while the first is being made good."""
    check(play_all(crash_twice(2_000, seed=1)))


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.parametrize("part", range(12))
def test_a_hundred_thousand(part: int) -> None:
    """As many as minutes allow; a million by ``python -m tests.simulator --launches 1000000``."""
    check(play_seeds(range(1_000_000 + part * STRESS_SEEDS // 12, 1_000_000 + (part + 1) * STRESS_SEEDS // 12)))


@pytest.mark.slow
def test_the_same_on_disk(memory: Path) -> None:
    """The store that is shipped behaves as the one in memory does: the same launch, boundary by boundary."""
    for seed in range(40):
        in_memory = World(draw(seed))
        on_disk = World(draw(seed), store=lambda cross, seed=seed: DiskStore(memory / str(seed), HOME, cross))
        in_memory.play()
        on_disk.play()

        assert on_disk.audit.broken == {}
        assert [record.done for record in on_disk.store.list_run()] == [
            record.done for record in in_memory.store.list_run()
        ]


def test_a_seed_tells_the_same_again() -> None:
    """Everything comes from the seed: clocks, ids, faults, the order of events."""
    first, second = World(draw(7), trace=True), World(draw(7), trace=True)
    first.play()
    second.play()

    assert first.trace == second.trace
    assert len(first.trace or ()) > 20


def test_a_failure_says_how_it_is_replayed() -> None:
    """The line of a failure is a command that plays it."""
    with MUTANTS["given_up_after_15_minutes"]():
        report = play_seeds(range(40), faults=("end-fails",))

    assert report.broken[0][0].startswith("python -m tests.simulator --seed ")
