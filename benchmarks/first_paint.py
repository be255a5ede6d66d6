"""How soon ``studio.show()`` is on the page, against a bare anywidget that draws one line, in the same page and kernel.

    python benchmarks/first_paint.py [--rounds 15]

From starting the cell to the first frame in which the browser has drawn it (a timer set in an animation frame, once the DOM
has what is waited for). What cells import has been imported before; each cell runs once to warm up, and the widget of
the round before is closed. In turn each round:

    bare anywidget     its line
    studio             the studio with its steps, and the first step's panel as far as it is known (its frame)
    studio, settled    the same, with what that panel has to say

Goal: the studio within twice the bare widget.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from in_lab import Notebook, execute, lab

GOAL = 2.0
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
        ".jp-OutputArea section.ps-studio section.ps",
        ".jp-OutputArea section.ps-studio section.ps:not(:has([aria-busy=true])) h2",
    ],
)


def measure(notebook: Notebook, cell: int) -> list[float]:
    """Milliseconds, after the page has been cleared of what was shown before."""
    execute(notebook, "if 'shown' in globals(): shown.close()")
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    notebook.page.wait_for_function(
        "() => !document.querySelector('.jp-OutputArea .bare, .jp-OutputArea section.ps-studio')"
    )
    found: list[float] = notebook.page.evaluate(PAINTED, [cell, SELECTORS[cell]])
    notebook.wait_for_cell(cell)
    return found


def main() -> int:
    """Print the table; exit status 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {"bare anywidget": [], "studio": [], "studio, settled": []}
    with lab() as opened:
        notebook = opened.open([BARE, STUDIO.format(home=str(opened.folder / "home"))], name="paint.ipynb")
        for number in range(rounds + 1):
            found = [*measure(notebook, 0), *measure(notebook, 1)]
            if number:
                for values, one in zip(taken.values(), found, strict=True):
                    values.append(one)
        notebook.close()
    bare = statistics.median(taken["bare anywidget"])
    print(f"{'':18}{'median ms':>10}{'fastest':>9}{'ratio':>8}   {rounds} rounds")
    for name, values in taken.items():
        print(f"{name:18}{statistics.median(values):10.0f}{min(values):9.0f}{statistics.median(values) / bare:7.2f}×")
    ratio = statistics.median(taken["studio"]) / bare
    print(f"goal ≤ {GOAL:g}× the bare widget: {'met' if ratio <= GOAL else 'MISSED'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
