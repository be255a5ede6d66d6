"""How soon ``studio.show()``, and a run of a million steps, are on the page, against a bare anywidget that draws one line.

    python benchmarks/first_paint.py [--rounds 15]

All in the same page and kernel.

From starting the cell to the first frame in which the browser has drawn it (a timer set in an animation frame, once the DOM
has what is waited for). What cells import has been imported before; each cell runs once to warm up, and the widget of
the round before is closed. In turn each round:

    bare anywidget     its line
    studio             the studio with its steps; the first step's panel is on its way
    with a panel       the same, once that panel's own front end has drawn
    settled            the same, once it has what it has to say
    a million steps    ``run.show()`` of a run that has logged so many, with its chart

Goals: the studio within twice the bare widget, the chart within a second.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from in_lab import Notebook, execute, lab

from tests.ui.write_run import RunWriter, build_spec

GOAL, CHART_GOAL_MS = 2.0, 1000.0
STEPS = 1_000_000
BARE = """
import anywidget
class Bare(anywidget.AnyWidget):
    _esm = "export default { render({ el }) { el.innerHTML = '<div class=bare>one line</div>'; } }"
shown = Bare()
shown
"""
STUDIO = """
from peft_studio import Studio
shown = Studio(home={home!r}).show()
shown
"""
RUN = """
from peft_studio import Studio
shown = Studio(home={home!r}).run({run_id!r}).show()
shown
"""
# Runs a cell and gives the milliseconds until each selector's element has been painted, in their order.
PAINTED = """async ([cell, selectors]) => {
  const app = window.jupyterapp; const panel = app.shell.currentWidget;
  panel.content.activeCellIndex = cell; panel.content.deselectAll();
  const began = performance.now();
  void app.commands.execute('notebook:run-cell');
  const found = [];
  for (const selector of selectors) {
    await new Promise((done) => {
      const there = () => panel.node.querySelector(selector);
      if (there()) return done();
      const watch = new MutationObserver(() => { if (there()) { watch.disconnect(); done(); } });
      watch.observe(panel.node, { subtree: true, childList: true, attributes: true });
    });
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    found.push(performance.now() - began);
  }
  return found; }"""
SELECTORS = (
    [".jp-OutputArea .bare"],
    [
        ".jp-OutputArea section.ps-studio [role=tab]",
        ".jp-OutputArea section.ps-studio section.ps",
        ".jp-OutputArea section.ps-studio section.ps:not(:has([aria-busy=true])) h2",
    ],
    [".jp-OutputArea section.ps .ps-chart canvas"],
)


def write_long_run(home: Path) -> str:
    """A run of a million steps that was stopped; gives its id."""
    writer = RunWriter(home / "runs" / "r-20261122-203412-00000a", build_spec(max_steps=STEPS))
    writer.begin(total=STEPS)
    for step in range(1, STEPS + 1):
        writer.rows.log(
            step, loss=2.0 / step + 0.01 * (step % 7), learning_rate=2e-4, grad_norm=1.0, tokens=1180.0 * step
        )
    writer.end("stopped")
    return writer.folder.id


def measure(notebook: Notebook, cell: int) -> list[float]:
    """Milliseconds, after the page has been cleared of what was shown before."""
    execute(notebook, "if 'shown' in globals(): shown.close()")
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    notebook.page.wait_for_function("() => !document.querySelector('.jp-OutputArea .bare, .jp-OutputArea section.ps')")
    found: list[float] = notebook.page.evaluate(PAINTED, [cell, SELECTORS[cell]])
    notebook.wait_for_cell(cell)
    return found


def main() -> int:
    """Print the table; exit status 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {
        name: [] for name in ("bare anywidget", "studio", "with a panel", "settled", "a million steps")
    }
    with lab() as opened:
        long = opened.folder / "long"
        cells = [
            BARE,
            STUDIO.format(home=str(opened.folder / "home")),
            RUN.format(home=str(long), run_id=write_long_run(long)),
        ]
        notebook = opened.open(cells, name="paint.ipynb")
        for number in range(rounds + 1):
            found = [one for cell in range(len(cells)) for one in measure(notebook, cell)]
            if number:
                for values, one in zip(taken.values(), found, strict=True):
                    values.append(one)
        notebook.close()
    bare = statistics.median(taken["bare anywidget"])
    print(f"{'':18}{'median ms':>10}{'fastest':>9}{'ratio':>8}   {rounds} rounds")
    for name, values in taken.items():
        print(f"{name:18}{statistics.median(values):10.0f}{min(values):9.0f}{statistics.median(values) / bare:7.2f}×")
    ratio, chart_ms = statistics.median(taken["studio"]) / bare, statistics.median(taken["a million steps"])
    good = ratio <= GOAL and chart_ms <= CHART_GOAL_MS
    print(
        f"goal ≤ {GOAL:g}× the bare widget, and the long run's chart in ≤ {CHART_GOAL_MS:.0f} ms: {'met' if good else 'MISSED'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
