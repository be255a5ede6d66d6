"""From a row of metrics being written to its being drawn: twenty runs that log ten times a second, all in one page.

    python benchmarks/log_to_pixel.py [--runs 20] [--seconds 20] [--hz 10]

A process of its own writes the runs, each row at its own moment, and every run has its panel in one notebook. All panels are
followed; the pixels are those of the panel that is in sight (one or two fit on a screen). A row counts as drawn in the frame
after the chart's canvas has been drawn anew with a step at least as late (the step is read from the panel, the canvas is
watched). Both clocks are the machine's. In turn, in the same page and against the same writer:

    naive widgets    an anywidget a run that sends every row as a message of its own and writes its step as a word, no more
    panels, words    ``run.show()`` of every run: the step in its head, in all twenty
    panels, chart    the chart, in those that are in sight

Goal: a median of at most 100 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from in_lab import ROOT, Notebook, execute, lab, quantiles

from peft_studio.core.runs.metrics import Row, read_metrics
from tests.ui.write_run import RunWriter, build_spec

GOAL_MS = 100.0
WRITE = """
import sys, time
from pathlib import Path
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.system import try_lock
home, hz = Path(sys.argv[1]), float(sys.argv[2])
folders = [RunFolder(path) for path in sorted((home / "runs").iterdir())]
locks = [folder.agent_lock.open("a+b") for folder in folders]
assert all(map(try_lock, locks))
writers = [MetricsWriter(folder.metrics) for folder in folders]
began, ticks = time.monotonic(), 0
while True:
    for at, (folder, writer) in enumerate(zip(folders, writers)):
        time.sleep(max(0.0, began + (ticks + at / len(folders)) / hz - time.monotonic()))
        step = ticks + 1
        writer.log(step, loss=2.0 / step + 0.01 * (step % 7), learning_rate=2e-4, grad_norm=1.0, tokens=1180.0 * step)
        if step % 10 == 0:
            folder.heartbeat.touch()
    ticks += 1
"""
PANELS = """

from peft_studio import Studio
studio = Studio(home={home!r})
for run in studio.runs(limit={count}).rows:
    display(studio.show("run", run.id))
"""
NAIVE = """
import threading
from pathlib import Path
import anywidget
from peft_studio.core.runs.metrics import MetricsReader
class Naive(anywidget.AnyWidget):
    _esm = '''export default {{ render({{ model, el }}) {{
      el.innerHTML = '<section class=ps><div class=ps-progress><b></b></div></section>';
      model.on('msg:custom', (row) => {{ el.querySelector('b').textContent = 'Step ' + row.step; }}); }} }}'''
stop = threading.Event()
def follow(widget, path):
    reader = MetricsReader(path)
    while not stop.wait(0.02):
        for row in reader.read():
            widget.send({{"step": row.step, **row.values}})
for folder in sorted(Path({home!r}, "runs").iterdir()):
    widget = Naive()
    display(widget)
    threading.Thread(target=follow, args=(widget, folder / "metrics"), daemon=True).start()
"""
# Notes when each step of each panel is on the screen, as words and in the chart: [panel, step, milliseconds since 1970].
WATCH = """() => {
  const found = (window.__drawn = { words: [], chart: [] }); const waiting = new Map();
  const painted = (where, panel, step) =>
    requestAnimationFrame(() => setTimeout(() => where.push([panel, step, performance.timeOrigin + performance.now()])));
  const panels = [...document.querySelectorAll('.jp-OutputArea section.ps')];
  panels.forEach((panel, at) => {
    let last = 0;
    new MutationObserver(() => {
      const step = Number(panel.querySelector('.ps-progress b')?.textContent.replace(/\\D/g, ''));
      if (step === last) return;
      last = step; waiting.set(panel, [at, step]); painted(found.words, at, step);
    }).observe(panel, { subtree: true, childList: true, characterData: true });
  });
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    const panel = this.canvas.closest?.('section.ps'); const due = waiting.get(panel);
    if (due) { waiting.delete(panel); painted(found.chart, ...due); }
    return clear.apply(this, box);
  };
  const box = (one) => one?.getBoundingClientRect();
  const wholly = (chart) => chart && chart.top > 120 && chart.bottom < innerHeight - 40;
  return panels.flatMap((panel, at) => (wholly(box(panel.querySelector('.ps-chart'))) ? [at] : [])); }"""


def make_home(home: Path, count: int) -> Path:
    """Runs that are training, named in the order of their folders."""
    for number in range(count):
        writer = RunWriter(
            home / "runs" / f"r-20261122-203412-{number:06x}", build_spec(name=f"run {number}", max_steps=100_000)
        )
        writer.begin(total=100_000)
    return home


def measure(notebook: Notebook, home: Path, *, order: list[int], seconds: float) -> dict[str, list[float]]:
    """Milliseconds from writing to drawing of every row written in the time: as words in every panel, in the charts in sight."""
    notebook.run(0)
    notebook.page.wait_for_function(
        "count => document.querySelectorAll('.jp-OutputArea section.ps:has(.ps-progress b)').length === count",
        arg=len(order),
    )
    notebook.page.wait_for_timeout(3000)
    in_sight = notebook.page.evaluate(WATCH)
    began = time.time()
    notebook.page.wait_for_timeout(seconds * 1000 + 5000)
    drawn: dict[str, list[list[float]]] = notebook.page.evaluate("() => window.__drawn")
    taken: dict[str, list[float]] = {"words": [], "chart": []}
    for place, number in enumerate(order):
        path = home / "runs" / f"r-20261122-203412-{number:06x}" / "metrics"
        rows = [row for row in read_metrics(path) if began < row.at < began + seconds]
        for kind, found in drawn.items():
            if kind == "words" or place in in_sight:
                taken[kind] += latencies(rows, [(at, step) for panel, step, at in found if panel == place])
    return taken


def latencies(rows: list[Row], drawn: list[tuple[float, float]]) -> list[float]:
    """Of each row, until the first drawing of its step or a later one."""
    found, seen = [], iter(sorted(drawn))
    at, step = next(seen, (0.0, 0.0))
    for row in rows:
        while step < row.step:
            at, step = next(seen, (0.0, 2.0**31))
        if not at:
            raise SystemExit(
                f"step {row.step} was never drawn; {len(found)} of {len(rows)} rows were, {len(drawn)} drawings"
            )
        found.append(at - row.at * 1000)
    return found


def main() -> int:
    """Print the table; exit status 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hz", type=float, default=10.0)
    given = parser.parse_args()
    found = {}
    with lab() as opened:
        home = make_home(opened.folder / "home", given.runs)
        command = [sys.executable, "-c", WRITE, str(home), str(given.hz)]
        writer = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            naive = opened.open([NAIVE.format(home=str(home))], name="naive.ipynb")
            found["naive widgets"] = measure(naive, home, order=list(range(given.runs)), seconds=given.seconds)["words"]
            execute(naive, "stop.set()")
            naive.close()
            panels = opened.open([PANELS.format(home=str(home), count=given.runs)], name="panels.ipynb")
            newest_first = list(reversed(range(given.runs)))
            taken = measure(panels, home, order=newest_first, seconds=given.seconds)
            found["panels, words"], found["panels, chart"] = taken["words"], taken["chart"]
            panels.close()
        finally:
            writer.kill()
            writer.wait(10)
    print(f"{'':16}{'p50 ms':>8}{'p95 ms':>8}{'rows':>8}   {given.runs} runs at {given.hz:g} Hz")
    for name, taken in found.items():
        middle, high = quantiles(taken)
        print(f"{name:16}{middle:8.0f}{high:8.0f}{len(taken):8}")
    middle = statistics.median(found["panels, chart"])
    print(f"ratio of medians {middle / statistics.median(found['naive widgets']):.2f}×")
    print(f"goal p50 ≤ {GOAL_MS:.0f} ms: {'met' if middle <= GOAL_MS else 'MISSED'}")
    return 0 if middle <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
