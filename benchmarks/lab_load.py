"""How long JupyterLab takes to load with the sidebar's extension, against one without it.

    python benchmarks/lab_load.py [--rounds 12]

Two servers that differ in nothing else, a new page each time, in turn: from asking for the page to the launcher being visible.
The browser's cache is warm from a first round that does not count. Goal: at most 200 ms more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from in_lab import Lab, lab, serve

GOAL_MS = 200.0


def load(opened: Lab) -> float:
    """Milliseconds until the launcher is visible."""
    began = time.perf_counter()
    notebook = opened.open_empty()
    took = time.perf_counter() - began
    notebook.page.close()
    return took * 1000


def main() -> int:
    """Print the figures; exit status 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    rounds = parser.parse_args().rounds
    bare: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory() as name, serve(Path(name), sidebar=False) as address, lab() as with_it:
        without = Lab(Path(name), address, with_it.browser)
        for number in range(rounds + 1):
            pair = [(without, bare), (with_it, ours)]
            for opened, taken in pair if number % 2 else reversed(pair):
                taken.append(load(opened))
    bare, ours = bare[1:], ours[1:]
    added = statistics.median(ours) - statistics.median(bare)
    print(f"{'':24}{'median ms':>10}{'fastest':>9}   {rounds} rounds in turn")
    for name, values in (("JupyterLab", bare), ("with the sidebar", ours)):
        print(f"{name:24}{statistics.median(values):10.0f}{min(values):9.0f}")
    print(
        f"ratio of medians {statistics.median(ours) / statistics.median(bare):.3f}×, {added:+.0f} ms; of the fastest {min(ours) - min(bare):+.0f} ms"
    )
    print(f"goal ≤ +{GOAL_MS:.0f} ms: {'met' if added <= GOAL_MS else 'MISSED'}")
    return 0 if added <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
