"""A hundred thousand steps in a second, from another process: the chart ends exactly right, few messages carry it, and the tab goes on answering."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from peft_studio.core.runs.curve import COLUMNS, Curve
from peft_studio.core.runs.metrics import read_metrics
from tests.conftest import wait_for
from tests.ui.lab import Lab, Notebook, show_code

pytestmark = pytest.mark.slow

ROWS = 100_000
MOST_MESSAGES = 40  # a second; twice what is sent, for a page that was held up

# Notes when a message of a widget comes, and puts the curve together from what it brings, as the bridge does. Frames are timed.
WATCH = """() => {
  const found = (window.__burst = { at: [], curve: {}, gap: 0, bytes: 0 });
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.iopubMessage.connect((_, message) => {
    if (message.header.msg_type !== 'comm_msg') return;
    found.at.push(performance.now());
    const { curve } = message.content.data?.content?.streams ?? {};
    found.bytes += message.buffers.reduce((sum, one) => sum + one.byteLength, 0) + JSON.stringify(message.content).length;
    if (!curve) return;
    const block = new DataView(message.buffers[0].buffer ?? message.buffers[0], message.buffers[0].byteOffset ?? 0, message.buffers[0].byteLength);
    const rows = block.byteLength / 8 / curve.columns.length;
    curve.columns.forEach((name, at) => {
      const kept = (found.curve[name] ?? []).slice(0, curve.start);
      for (let row = 0; row < rows; row++) kept.push(block.getFloat64((at * rows + row) * 8, true));
      found.curve[name] = kept;
    });
  });
  let last = performance.now();
  const frame = () => { const now = performance.now(); found.gap = Math.max(found.gap, now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""


@pytest.fixture
def burst(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run that waits for ``go``."""
    folder = tmp_path / "runs" / "r-20261122-203412-9f31ac"
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("write_burst.py")), str(folder), str(ROWS)]
    )
    yield folder
    process.kill()
    process.wait(10)


def test_a_hundred_thousand_steps_in_a_second(lab: Lab, burst: Path) -> None:
    """What the panel shows at the end is what the file holds, to the last step and value, whatever came between."""
    wait_for(lambda: (burst / "metrics").exists(), "the run's first steps")
    notebook = lab.open([show_code(burst)], name="burst.ipynb")
    notebook.run(0)
    panel = notebook.panel()
    step = panel.locator(".ps-progress b").first
    expect(step).to_have_text("Step 10")
    notebook.page.evaluate(WATCH)
    (burst / "go").touch()
    expect(step).to_have_text(f"Step {ROWS:,}")
    panel.get_by_role("button", name="Table").click()  # the tab answers
    expect(panel.get_by_role("table").first.locator("tbody tr").last.locator("td").first).to_have_text(f"{ROWS:,}")
    seen: dict[str, Any] = notebook.page.evaluate("() => window.__burst")
    took_s = json.loads((burst / "took.json").read_text())
    shown = table_of(notebook)
    notebook.close()

    expected = Curve()
    expected.add(read_metrics(burst / "metrics"))
    assert sum(bucket.count for bucket in expected.buckets) == ROWS
    assert {name: len(seen["curve"][name]) for name in COLUMNS} == dict.fromkeys(COLUMNS, len(expected.buckets))
    for name in COLUMNS:
        assert seen["curve"][name] == pytest.approx([getattr(one, name) for one in expected.buckets], rel=1e-12)
    every = math.ceil(len(expected.buckets) / 12)
    rows = [one for at, one in enumerate(expected.buckets) if at % every == 0 or one is expected.buckets[-1]]
    assert shown == [(f"{one.step:,.0f}", f"{one.mean:.3f}") for one in rows]

    busiest = max(sum(start <= at < start + 1000 for at in seen["at"]) for start in seen["at"])
    print(
        f"written in {took_s:.2f} s, {busiest} messages in the busiest second, {seen['bytes'] / 1000:.0f} kB, longest gap {seen['gap']:.0f} ms"
    )
    assert busiest <= MOST_MESSAGES
    assert notebook.errors == []


def table_of(notebook: Notebook) -> list[tuple[str, str]]:
    """Step and loss of each line of the chart's table."""
    lines = notebook.panel().get_by_role("table").first.locator("tbody tr")
    return [tuple(line.split("\t")[:2]) for line in lines.all_inner_texts()]  # type: ignore[misc]
