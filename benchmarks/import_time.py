"""What ``import peft_studio`` costs: wall time of a fresh interpreter, against one that imports nothing and one that imports pandas.

    python benchmarks/import_time.py [--rounds 15]

Each command runs in a new process, all of them in turn each round, so that a busy moment hits all alike. Medians are printed, and what
an import adds to the bare interpreter. Fails when torch, pandas or transformers get loaded. Goal: at most 150 ms, no torch, no pandas.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

GOAL_S = 0.150
HEAVY = ("torch", "pandas", "transformers", "peft", "numpy", "plotly", "pyarrow", "anywidget", "IPython")
COMMANDS = {
    "bare interpreter": "pass",
    "import peft_studio": "import peft_studio",
    "from peft_studio import studio": "from peft_studio import studio",
    "import pandas": "import pandas",
}


def measure(code: str) -> float:
    """Seconds from starting an interpreter to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def loaded_by(code: str) -> list[str]:
    """Heavy packages that are in ``sys.modules`` after the code has run."""
    probe = f"{code}\nimport json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    found: list[str] = json.loads(subprocess.check_output([sys.executable, "-c", probe], text=True))
    return found


def main() -> int:
    """Print the table; exit status 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, code in COMMANDS.items():
            seconds = measure(code)
            if number:  # the first round fills the file cache
                taken[name].append(seconds)
    bare = statistics.median(taken["bare interpreter"])
    ours = statistics.median(taken["import peft_studio"]) - bare
    print(
        f"{'':32}{'median ms':>10}{'added ms':>10}{'against ours':>14}   {rounds} rounds, Python {sys.version.split()[0]}"
    )
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        ratio = f"{(median - bare) / ours:.1f}×" if name != "bare interpreter" else "—"
        print(f"{name:32}{median * 1e3:10.1f}{(median - bare) * 1e3:10.1f}{ratio:>14}")
    heavy = {name: loaded_by(code) for name, code in COMMANDS.items() if "peft_studio" in name}
    for name, modules in heavy.items():
        print(f"{name}: loads {', '.join(modules) or 'none'} of {', '.join(HEAVY)}")
    good = ours <= GOAL_S and not {"torch", "pandas", "transformers"} & {
        m for modules in heavy.values() for m in modules
    }
    print(f"goal ≤ {GOAL_S * 1e3:.0f} ms without torch, pandas, transformers: {'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
