"""How long machines cost money for nothing, of 1,000 launches with faults, beside two policies of others on the same seeds.

    python -m benchmarks.leaks [LAUNCHES]

The clouds, nodes and faults are the simulator's (``tests/simulator``); the peers are written from their sources and issues, see
``tests/simulator/peers.py``. What is never ended counts for three days. That results wait for an owner who is away counts, too: a third of
the launches choose an hour for that; the last table has the 15 minutes of a launch that chooses nothing.
"""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import dataclass, replace

from peft_studio.core.services.rent.record import KEEP_S
from tests.simulator.peers import Autodown, Peer, leaked_s, play_peer
from tests.simulator.scenario import NO_OWN_KEY, Scenario, draw
from tests.simulator.world import World

LAUNCHES = 3000
POLICIES = ("PEFT Studio", "retry 15 minutes, then forget (dstack)", "autodown once it is up (SkyPilot)")


@dataclass
class Leak:
    """Of one launch: whether each machine had a brake left, seconds by each policy, and ours with nothing chosen."""

    had_brake: bool
    seconds: tuple[float, ...]
    default_s: float


def play(scenario: Scenario) -> World:
    """One launch as ours."""
    world = World(scenario)
    world.play()
    return world


def leak_of(seed: int) -> Leak:
    """Play one launch with each policy."""
    scenario = draw(seed)
    ours = play(scenario)
    peers = [play_peer(scenario, kind) for kind in (Peer, Autodown)]
    no_key = any(name == NO_OWN_KEY for name, _ in scenario.offers)
    without = any(
        ours.audit.failed_brakes(machine) >= {1, 2, 3} for machine in ours.audit.machines() if machine.whose == "ours"
    )
    default = ours if scenario.keep_s == KEEP_S else play(replace(scenario, keep_s=KEEP_S))
    seconds = tuple(leaked_s(world) for world in (ours, *peers))
    return Leak(not (no_key or without), seconds, leaked_s(default))


def main(launches: int) -> None:
    """Print minutes for each policy, and the ratio."""
    with multiprocessing.Pool() as pool:
        leaks = pool.map(leak_of, range(launches), chunksize=50)
    braked = [one for one in leaks if one.had_brake]
    default = [replace(one, seconds=(one.default_s, *one.seconds[1:])) for one in braked]
    for title, chosen in (
        ("all launches", leaks),
        ("a brake was left: the machine runs, and may end itself", braked),
        ("the same, and results wait 15 minutes for an owner who is away, as by default", default),
    ):
        print(f"\n{title}: {len(chosen):,}, seeds 0 to {launches - 1}")
        sums = [sum(one.seconds[number] for one in chosen) / 60 / len(chosen) * 1000 for number in range(3)]
        for name, minutes in zip(POLICIES, sums, strict=True):
            print(f"  {name:42} {minutes:12,.0f} min per 1,000 launches   {minutes / max(sums[0], 1e-9):8.1f} ×")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else LAUNCHES)
