"""What a connector in a process of its own costs, and what its neighbours notice of hostile ones there and on threads.

    python benchmarks/isolation.py [--calls 500]

The hostile ones are those of tests/unit/connectors/catalog: endless loops, a pattern and a number that hold the interpreter, floods, eaters of
memory. On threads only loops in Python are tried, since the others would end this process. Goal: the median of a neighbour's calls does not move.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

from peft_studio.connectors.catalog import Catalog, process
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.ports import Account, Page, Query
from tests.unit.connectors.catalog import apart, hostile

LOOPS = ("loops", "loops-stubbornly", "prints")
HOSTILE = (
    "loops",
    "loops-stubbornly",
    "loops-in-threads",
    "holds-pattern",
    "holds-number",
    "floods-out",
    "floods-lines",
    "eats-in-threads",
    "stops",
)
HERE_S = 20.0


def ours() -> Source:
    """A healthy one of this process."""
    return Source("good", "bench", lambda: hostile.Good.info)


def open_catalog(*sources: Source) -> Catalog:
    """With these; registered and asked once."""
    catalog = Catalog(Path(tempfile.mkdtemp()), sources=sources)
    for info in catalog.list_infos():
        catalog.call(info.name, Account, lambda one: one.connect(), deadline_s=60)
    return catalog


def take_calls(catalog: Catalog, name: str, calls: int) -> str:
    """Median and 99th percentile of so many calls."""
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        catalog.call(name, Page, lambda one: one.search(Query()), deadline_s=60)
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    return f"p50 {took[calls // 2]:6.2f} ms   p99 {took[calls * 99 // 100]:6.2f} ms"


def measure_start() -> None:
    """Print how long a process takes to be there, and what it holds."""
    took = []
    for _ in range(7):
        began = time.perf_counter()
        catalog = Catalog(Path(tempfile.mkdtemp()), sources=[apart.source("healthy")])
        catalog.list_infos()
        took.append(time.perf_counter() - began)
    host = apart.hosts_of("healthy")[-1]
    memory = host.memory_full_info()
    took.sort()
    print(f"start until it has said who it is: {took[3]:.2f} s ({took[0]:.2f} to {took[-1]:.2f})")
    print(f"memory: {memory.rss / 2**20:.0f} MB resident, {memory.uss / 2**20:.0f} MB of its own")


def measure_beside(title: str, catalog: Catalog, wrong: tuple[str, ...], calls: int) -> None:
    """Print calls of the healthy ones alone and beside."""
    healthy = [info.name for info in catalog.list_infos() if info.name in ("good", "healthy")]
    alone = {name: take_calls(catalog, name, calls) for name in healthy}
    pending = [catalog.start(name, Page, lambda one: one.search(Query()), deadline_s=HERE_S) for name in wrong]
    beside = {name: take_calls(catalog, name, calls) for name in healthy}
    going_on = sum(not call.done() for call in pending)
    print(f"{title}: {len(wrong)} hostile, {going_on} of them still at it afterwards")
    for name in healthy:
        print(f"  {'ours, here    ' if name == 'good' else 'a third party,'} alone  {alone[name]}")
        print(f"  {'              ' if name == 'good' else '  apart       '} beside {beside[name]}")
    for call in pending:
        call._give_up()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=500)
    calls = parser.parse_args().calls
    process.MEMORY_BYTES = 300 * 2**20
    print(f"load before: {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")
    measure_start()
    measure_beside("apart", open_catalog(ours(), apart.source("healthy"), *map(apart.source, HOSTILE)), HOSTILE, calls)
    here = [Source(name, "bench", lambda name=name: hostile.CLASSES[name].info) for name in LOOPS]  # type: ignore[misc]
    measure_beside("on threads", open_catalog(ours(), *here), LOOPS, calls)
    return 0


if __name__ == "__main__":
    sys.exit(main())
