"""Many launches, and what came of them: by seed, with a crash at every boundary, with pairs of crashes. Each failure names how it is replayed."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulator.scenario import Scenario, draw
from tests.simulator.world import World

COLLECT_EVERY = (
    200  # a world is a knot of references; letting Python look for them at every turn costs a tenth of the time
)
Store = Callable[[Callable[[str], None]], Any]


@dataclass
class Bound:
    """Machines for which one bound holds. ``margin_s``: the least that was left of it; ``over``: how many were longer, their provider having ignored requests."""

    machines: int = 0
    longest_s: float = 0.0
    margin_s: float = float("inf")
    over: int = 0

    def add(self, seconds: float, bound_s: float) -> None:
        """Count one."""
        self.merge(Bound(1, seconds, bound_s - seconds, int(seconds > bound_s)))

    def merge(self, other: Bound) -> None:
        """Add another's counts."""
        self.machines, self.over = self.machines + other.machines, self.over + other.over
        self.longest_s, self.margin_s = max(self.longest_s, other.longest_s), min(self.margin_s, other.margin_s)


@dataclass
class Report:
    """``late``: creates that a frozen process sent after its record was closed. ``broken``: how to replay each failure, the promise, what was seen. ``unowned_s``: minutes nobody wanted, of machines with a brake left."""

    launches: int = 0
    faulted: int = 0
    boundaries: int = 0
    created: int = 0
    machines: int = 0
    unowned_s: float = 0.0
    without_brakes_s: float = 0.0
    late: int = 0
    longest_unowned_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[str, str, str]] = field(default_factory=list)
    bounds: dict[str, Bound] = field(default_factory=dict)

    def add(self, world: World, replay: str) -> None:
        """Count one that was played."""
        audit = world.audit
        self.launches += 1
        self.faulted += bool(world.scenario.faults or world.scenario.crashes)
        self.boundaries += world.crossed
        self.created += sum(len(cloud.submitted) for cloud in world.clouds.values())
        self.machines += sum(machine.whose == "ours" for machine in audit.machines())
        self.late += len(audit.late)
        self.faults.update(world.scenario.faults)
        self.without_brakes_s += audit.without_brakes_s
        self.unowned_s += audit.leaked_s - audit.without_brakes_s
        for machine, unowned_s in audit.unowned:
            if not audit.failed_brakes(machine) >= {1, 2, 3}:
                self.longest_unowned_s = max(self.longest_unowned_s, unowned_s)
        for name, seconds, bound_s in audit.measured:
            self.bounds.setdefault(name, Bound()).add(seconds, bound_s)
        self.broken += [(replay, promise, seen) for promise, seen in audit.broken.items()]

    def merge(self, other: Report) -> None:
        """Add another's counts."""
        for name in (
            "launches",
            "faulted",
            "boundaries",
            "created",
            "machines",
            "late",
            "unowned_s",
            "without_brakes_s",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_unowned_s = max(self.longest_unowned_s, other.longest_unowned_s)
        self.faults.update(other.faults)
        for name, bound in other.bounds.items():
            self.bounds.setdefault(name, Bound()).merge(bound)
        self.broken += other.broken

    def promises(self) -> Counter[str]:
        """How often each promise was broken."""
        return Counter(promise for _, promise, _ in self.broken)


def replay_command(scenario: Scenario, *, calm: bool, crashes: bool) -> str:
    """The line that plays one again and tells what happens."""
    line = f"python -m tests.simulator --seed {scenario.seed}" + (" --calm" if calm else "")
    if scenario.forced:
        line += f" --faults {','.join(sorted(scenario.faults))}"
    if crashes:
        line += f" --crash {','.join(map(str, scenario.crashes))} --down {','.join(map(str, scenario.down_s))}"
    return line


def play_seeds(seeds: Iterable[int], *, faults: Collection[str] | None = None) -> Report:
    """One launch a seed; with ``faults`` those in place of its own."""
    return play_all((draw(seed, faults=faults), False, False) for seed in seeds)


def play_all(scenarios: Iterable[tuple[Scenario, bool, bool]], *, store: Store | None = None) -> Report:
    """Scenarios, each with whether it was drawn calm and whether its crashes were set by hand."""
    report, was_on = Report(), gc.isenabled()
    gc.disable()
    gc.freeze()  # what was imported is no garbage, and need not be looked through every time
    try:
        for scenario, calm, crashes in scenarios:
            world, replay = World(scenario, store=store), replay_command(scenario, calm=calm, crashes=crashes)
            try:
                world.play()
            except Exception as exc:  # noqa: BLE001  # whatever a process falls over is found, and ends no other launch
                report.broken.append((replay, f"the process goes on ({type(exc).__name__})", str(exc)[:200]))
            report.add(world, replay)
            if report.launches % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
    return report


def crash_everywhere(
    seeds: Iterable[int], downs_s: Iterable[float], *, calm: bool
) -> Iterator[tuple[Scenario, bool, bool]]:
    """Each seed's launch with one crash at each of its boundaries, for each time that the process stays away."""
    for seed in seeds:
        base = replace(draw(seed, calm=calm), crashes=())
        whole = World(base)
        whole.play()
        for down_s in downs_s:
            for number in range(whole.crossed):
                yield replace(base, crashes=(number,), down_s=(down_s, down_s)), calm, True


def crash_twice(count: int, *, seed: int) -> Iterator[tuple[Scenario, bool, bool]]:
    """Launches with two crashes each, wherever chance puts them; the second often while the first is being made good."""
    roll = random.Random(seed)
    for number in range(count):
        base = draw(seed * 1_000_000 + number, calm=number % 2 == 0)
        first = roll.randrange(90)
        second = first + 1 + (roll.randrange(12) if roll.random() < 0.6 else roll.randrange(90))
        downs = (roll.choice((5.0, 100.0, 1800.0)), roll.choice((5.0, 100.0, 1800.0)))
        yield replace(base, crashes=(first, second), down_s=downs), number % 2 == 0, True
