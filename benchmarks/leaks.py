"""How long machines cost money for nothing, of 1,000 launches with faults, beside two policies of others on the same seeds.

    python -m benchmarks.leaks [LAUNCHES]

The clouds, nodes and faults are the simulator's (``tests/simulator``); the peers are written from their sources and issues, see
``tests/simulator/peers.py``. What is never ended counts for three days.
"""

from __future__ import annotations

import multiprocessing
import sys

from tests.simulator.peers import Autodown, Peer, leaked_s, play_peer
from tests.simulator.scenario import NO_OWN_KEY, draw
from tests.simulator.world import World

LAUNCHES = 3000
POLICIES = ("PEFT Studio", "retry 15 minutes, then forget (dstack)", "autodown once it is up (SkyPilot)")


def leak_of(seed: int) -> tuple[bool, list[float]]:
    """Whether a machine could end itself there, and the seconds leaked by each policy."""
    scenario = draw(seed)
    ours = World(scenario)
    ours.play()
    peers = [play_peer(scenario, kind) for kind in (Peer, Autodown)]
    no_key = any(name == NO_OWN_KEY for name, _ in scenario.offers)
    without = any(
        ours.audit.failed_brakes(machine) >= {1, 2, 3} for machine in ours.audit.machines() if machine.whose == "ours"
    )
    return no_key or without, [leaked_s(world) for world in (ours, *peers)]


def main(launches: int) -> None:
    """Print minutes for each policy, and the ratio."""
    with multiprocessing.Pool() as pool:
        results = pool.map(leak_of, range(launches), chunksize=50)
    for title, chosen in (
        ("all launches", results),
        ("a brake was left: the machine runs, and may end itself", [one for one in results if not one[0]]),
    ):
        print(f"\n{title}: {len(chosen):,}, seeds 0 to {launches - 1}")
        sums = [sum(leaks[number] for _, leaks in chosen) / 60 / len(chosen) * 1000 for number in range(3)]
        for name, minutes in zip(POLICIES, sums, strict=True):
            print(f"  {name:42} {minutes:12,.0f} min per 1,000 launches   {minutes / max(sums[0], 1e-9):8.1f} ×")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else LAUNCHES)
