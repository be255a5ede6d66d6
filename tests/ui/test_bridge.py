"""The bridge and the kit in a page of their own, where a test says what comes when."""

from __future__ import annotations

import pytest

from peft_studio.widgets._panel import built
from tests.ui.lab import Lab

pytestmark = pytest.mark.slow

DRAW_AND_HEAR = """async ([esm, sections]) => {
  const address = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const hooks = (await import(address)).default();
  let hear;
  hooks.initialize({ model: { on: (_, listener) => (hear = listener), off() {}, send() {} } });
  hooks.render({ el: document.body });
  hear({ kind: "update", n: 1, full: true, sections, streams: {} }, []);  // before the first frame
}"""


def test_news_before_the_first_frame_is_drawn(lab: Lab) -> None:
    """A panel that hears everything while it is being drawn shows it, though nothing ever comes after."""
    page = lab.open_blank()
    chosen = {"model": None, "data": None, "run": None}
    steps = [{"name": "data", "title": "Data"}]
    page.evaluate(DRAW_AND_HEAR, [built("studio.js"), {"steps": steps, "panel": "data", "chosen": chosen, "code": ""}])
    page.get_by_role("tab", name="Data").wait_for(timeout=10_000)
    page.close()
