"""From a row of metrics being written to its being drawn: twenty runs that log ten times a second, all in one page.

    python benchmarks/log_to_pixel.py [--runs 20] [--seconds 20] [--hz 10]

A process of its own writes the runs, each row at its own moment, and every run has its panel in one notebook. A row counts as
drawn in the frame after the chart's canvas has been drawn anew with a step at least as late (the step is read from the panel,
the canvas is watched). Both clocks are the machine's. In turn, in the same page and against the same writer:

    one naive widget   one anywidget per run that sends every row as a message of its own and writes the step as text
    panels             ``run.show()`` of every run

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

from peft_studio.core.runs.metrics import read_metrics
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
# Notes when each step of each panel is on the screen: [panel, step, milliseconds since 1970].
WATCH = """canvases => {
  const found = (window.__drawn = []); const waiting = new Map();
  const painted = (panel, step) => requestAnimationFrame(() => setTimeout(() => found.push([panel, step, performance.timeOrigin + performance.now()])));
  const panels = [...document.querySelectorAll('.jp-OutputArea section.ps')];
  panels.forEach((panel, at) => new MutationObserver(() => {
    const step = Number(panel.querySelector('.ps-progress b')?.textContent.replace(/\\D/g, ''));
    if (canvases) waiting.set(panel, [at, step]); else painted(at, step);
  }).observe(panel, { subtree: true, childList: true, characterData: true }));
  if (!canvases) return panels.length;
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    const panel = this.canvas.closest?.('section.ps'); const due = waiting.get(panel);
    if (due) { waiting.delete(panel); painted(...due); }
    return clear.apply(this, box);
  };
  return panels.length; }"""


def make_home(home: Path, count: int) -> Path:
    """Runs that are training, named in the order of their folders."""
    for number in range(count):
        writer = RunWriter(
            home / "runs" / f"r-20261122-203412-{number:06x}", build_spec(name=f"run {number}", max_steps=100_000)
        )
        writer.begin(total=100_000)
    return home


def measure(
    notebook: Notebook, cell: int, home: Path, *, order: list[int], canvases: bool, seconds: float
) -> list[float]:
    """Milliseconds from writing to drawing of every row written in the time."""
    notebook.run(cell)
    notebook.page.wait_for_function(
        "count => document.querySelectorAll('.jp-OutputArea section.ps:has(.ps-progress b)').length === count",
        arg=len(order),
    )
    notebook.page.wait_for_timeout(3000)
    notebook.page.evaluate(WATCH, canvases)
    began = time.time()
    notebook.page.wait_for_timeout(seconds * 1000 + 2000)
    drawn: list[list[float]] = notebook.page.evaluate("() => window.__drawn")
    taken = []
    for place, number in enumerate(order):
        own = sorted((at, step) for panel, step, at in drawn if panel == place)
        rows = [
            row
            for row in read_metrics(home / "runs" / f"r-20261122-203412-{number:06x}" / "metrics")
            if began < row.at < began + seconds
        ]
        shown = 0
        for row in rows:
            while shown < len(own) and own[shown][1] < row.step:
                shown += 1
            if shown == len(own):
                raise SystemExit(f"step {row.step} of run {number} was never drawn")
            taken.append(own[shown][0] - row.at * 1000)
    return taken


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
            for name, code, canvases in (("naive widgets", NAIVE, False), ("panels", PANELS, True)):
                notebook = opened.open([code.format(home=str(home), count=given.runs)], name=f"{name}.ipynb")
                order = list(range(given.runs)) if not canvases else list(reversed(range(given.runs)))
                found[name] = measure(notebook, 0, home, order=order, canvases=canvases, seconds=given.seconds)
                execute(notebook, "stop.set()" if not canvases else "pass")
                notebook.close()
        finally:
            writer.kill()
            writer.wait(10)
    print(f"{'':16}{'p50 ms':>8}{'p95 ms':>8}{'rows':>8}   {given.runs} runs at {given.hz:g} Hz")
    for name, taken in found.items():
        middle, high = quantiles(taken)
        print(f"{name:16}{middle:8.0f}{high:8.0f}{len(taken):8}")
    middle = statistics.median(found["panels"])
    print(f"ratio of medians {middle / statistics.median(found['naive widgets']):.2f}×")
    print(f"goal p50 ≤ {GOAL_MS:.0f} ms: {'met' if middle <= GOAL_MS else 'MISSED'}")
    return 0 if middle <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
