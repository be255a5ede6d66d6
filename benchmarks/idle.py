"""What a studio that is shown and left alone costs its kernel, against a bare kernel in the same server.

    python benchmarks/idle.py [--seconds 60]

Two notebooks in one JupyterLab, each with its kernel. In one the studio is shown over a home of seven runs, every step has been
opened once, and a thread reads ``studio.runs()`` every 5 s as a notebook that watches would. CPU time and memory (the part that
is a process's own, USS) of both kernels over the same minute. Goal: at most 0.5 % of a core and 60 MB more.
"""

from __future__ import annotations

import argparse
import sys
import time

import psutil
from in_lab import Notebook, execute, lab

from tests.ui.write_home import write_home

CPU_GOAL, MEMORY_GOAL = 0.5, 60.0  # percent of one core; MB
STUDIO = """
from peft_studio import Studio
studio = Studio(home={home!r})
shown = studio.show()
shown
"""
REFRESH = """
import threading
def look(pause=threading.Event()):
    while not pause.wait(5.0):
        studio.runs()
threading.Thread(target=look, daemon=True).start()
"""


def kernel_of(notebook: Notebook) -> psutil.Process:
    """The process of a notebook's kernel."""
    notebook.run(1)
    text = notebook.page.locator(".jp-Notebook:visible .jp-OutputArea-output pre").last.inner_text()
    return psutil.Process(int(text))


def open_every_step(notebook: Notebook) -> None:
    """Show each step until its panel says something."""
    studio = notebook.page.locator("section.ps-studio").first
    for tab in studio.get_by_role("tab").all():
        tab.click()
        studio.locator("section.ps:not(:has([aria-busy=true]))").first.wait_for()


def main() -> int:
    """Print the table; exit status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    with lab() as opened:
        home = write_home(opened.folder / "home", now=time.time())
        pid = "import os; print(os.getpid())"
        notebooks = [
            opened.open(["1", pid], name="bare.ipynb"),
            opened.open([STUDIO.format(home=str(home)), pid], name="studio.ipynb"),
        ]
        for notebook in notebooks:
            notebook.run(0)
        kernels = [kernel_of(notebook) for notebook in notebooks]
        open_every_step(notebooks[1])
        execute(notebooks[1], REFRESH)
        notebooks[1].page.wait_for_timeout(15_000)  # the panels have become quiet
        before = [kernel.cpu_times() for kernel in kernels]
        began = time.perf_counter()
        notebooks[1].page.wait_for_timeout(seconds * 1000)
        took = time.perf_counter() - began
        after = [kernel.cpu_times() for kernel in kernels]
        cpu = [100 * (b.user + b.system - a.user - a.system) / took for a, b in zip(before, after, strict=True)]
        memory = [kernel.memory_full_info() for kernel in kernels]
        threads = [kernel.num_threads() for kernel in kernels]
        for notebook in notebooks:
            notebook.close()
    print(f"{'':16}{'CPU %':>8}{'own MB':>9}{'RSS MB':>9}{'threads':>9}   over {took:.0f} s")
    for at, name in enumerate(("bare kernel", "studio shown")):
        print(f"{name:16}{cpu[at]:8.2f}{memory[at].uss / 2**20:9.1f}{memory[at].rss / 2**20:9.1f}{threads[at]:9}")
    more = (memory[1].uss - memory[0].uss) / 2**20
    good = cpu[1] <= CPU_GOAL and more <= MEMORY_GOAL
    ratio = memory[1].uss / memory[0].uss
    print(f"memory {ratio:.2f}× the bare kernel's, {more:+.1f} MB; CPU {cpu[1] - cpu[0]:+.2f} % of a core")
    print(f"goal ≤ {CPU_GOAL:g} % and ≤ {MEMORY_GOAL:g} MB more: {'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
