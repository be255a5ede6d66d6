"""``python -m tests.simulator --launches 1000000``, or one again: ``--seed 17``, ``--seed 17 --calm --crash 31 --down 100``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace

from tests.simulator.march import march
from tests.simulator.play import Report
from tests.simulator.scenario import draw
from tests.simulator.world import World


def main() -> int:
    """Play, and say what came of it. Status 1: a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--launches", type=int, default=20_000)
    parser.add_argument("--from-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--anew", action="store_true", help="play again what was played before with this code")
    parser.add_argument("--seed", type=int, help="play this one, and tell what happens")
    parser.add_argument("--calm", action="store_true", help="without its faults")
    parser.add_argument("--faults", help="with these in their place: lost-reply,crash")
    parser.add_argument("--crash", help="the process is killed at these boundaries: 31 or 31,40")
    parser.add_argument("--down", default="5", help="and stays away for so many seconds")
    given = parser.parse_args()
    if given.seed is not None:
        return replay(given)
    seeds, began = range(given.from_seed, given.from_seed + given.launches), time.monotonic()
    try:
        total = march(seeds, workers=given.workers, anew=given.anew)
    except KeyboardInterrupt:
        print("What was played is kept; the same call goes on from there.", file=sys.stderr)
        return 130
    say(total, seeds, took_s=time.monotonic() - began)
    return 1 if total.broken else 0


def say(total: Report, seeds: range, *, took_s: float) -> None:
    """The figures, with what zero in so many is worth."""
    print(
        f"{total.launches:,} launches, seeds {seeds.start} to {seeds.stop - 1}, each with at least one fault; {took_s:.0f} s"
    )
    print(
        f"{total.boundaries:,} boundaries, {total.created:,} creates sent, {total.machines:,} machines made; {total.late} creates were sent late by a frozen process, and ended as ghosts"
    )
    print(
        f"broken promises: {len(total.broken)} in {total.launches:,}"
        + (f" (so fewer than 1 in {total.launches // 3:,}, with 95 % confidence)" if not total.broken else "")
    )
    print(
        f"unowned and paid: {total.unowned_s / 60 / total.launches * 1000:,.0f} min per 1,000 launches, of machines that had a brake left; the longest"
        f" {total.longest_unowned_s / 60:.1f} min\nof machines without any brake left: {total.without_brakes_s / 60 / total.launches * 1000:,.0f} min per 1,000,"
        " counted for three days"
    )
    for name, bound in sorted(total.bounds.items()):
        print(
            f"{name}: {bound.machines:,} machines, the longest {bound.longest_s / 60:.1f} min, at least {bound.margin_s:.0f} s within what is promised"
            if not bound.over
            else f"{name}: {bound.machines:,} machines, the longest {bound.longest_s / 60:.1f} min; {bound.over:,} longer than is promised, whose provider"
            " answered 8 to 30 requests to end them and did nothing"
        )
    for replay_line, promise, seen in total.broken[:20]:
        print(f"  {promise}: {seen}\n    {replay_line}")
    print(f"{'BROKEN' if total.broken else 'every promise was kept'}: {total.launches:,} launches")


def replay(given: argparse.Namespace) -> int:
    """One launch, boundary by boundary."""
    scenario = draw(given.seed, calm=given.calm, faults=given.faults.split(",") if given.faults else None)
    if given.crash:
        downs = [float(text) for text in given.down.split(",")]
        crashes = tuple(int(text) for text in given.crash.split(","))
        scenario = replace(scenario, crashes=crashes, down_s=(downs[0], downs[-1]))
    world = World(scenario, trace=True)
    audit = world.play()
    print(scenario, *(world.trace or ()), sep="\n")
    for machine, unowned_s in audit.unowned:
        print(
            f"{machine.id}: {machine.created_s:.1f} to {machine.ended_s:.1f} s, ended by {machine.ended_by or 'nobody'}, unowned {unowned_s:.1f} s"
        )
    for record in world.store.list_run():
        print(record.label, record.done)
    print("kept every promise" if not audit.broken else audit.broken)
    return 1 if audit.broken else 0


if __name__ == "__main__":
    sys.exit(main())
