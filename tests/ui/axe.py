"""axe-core on what is ours in a page: the panels in cells and the sidebar. JupyterLab's own elements are not looked at."""

from __future__ import annotations

from functools import cache
from typing import Any

import hatch_build
from tests.ui.lab import ROOT, Notebook

AXE = ROOT / hatch_build.FRONTEND / "node_modules/axe-core/axe.min.js"
TIP_MS = 400  # WAIT_MS of ui/tip.ts
OURS = [".jp-Notebook section.ps", "#peft-studio-sidebar .ps"]


def scan(notebook: Notebook, *, only: str | None = None) -> dict[str, str]:
    """What axe finds in our part of the page as it stands, by one rule or by all: rule and element, and what to do.

    A contrast that axe cannot tell is a finding, too.
    """
    page = notebook.page
    page.mouse.move(0, 0)
    if page.locator(".ps-tip:popover-open").count():
        page.wait_for_timeout(2 * TIP_MS)  # one that closes while it is looked at has no colours
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_source())
    found: list[dict[str, Any]] = page.evaluate(
        """async ([ours, only]) => {
          const include = ours.filter(one => document.querySelector(one));
          // The sidebar shows the studio of the cell once more, under the same names: that is what it is for.
          const rules = { 'target-size': { enabled: true }, 'landmark-unique': { enabled: false } };
          const { violations, incomplete } = await axe.run({ include }, only ? { runOnly: [only] } : { rules });
          return [...violations, ...incomplete.filter(({ id }) => id === 'color-contrast')].flatMap(
            ({ id, impact, nodes }) => nodes.map(({ html, failureSummary }) => ({ id, impact, html, failureSummary })));
        }""",
        [OURS, only],
    )
    return {f"{one['impact']} {one['id']}: {one['html'][:300]}": one["failureSummary"] for one in found}


def scan_themes(notebook: Notebook, state: str = "") -> dict[str, str]:
    """The findings in both themes, of which the dark one has other colours and nothing else; the light one is worn afterwards."""
    notebook.set_theme("JupyterLab Dark")
    dark = scan(notebook, only="color-contrast")
    notebook.set_theme("JupyterLab Light")
    return {
        what: f"{state}, {theme}: {how}"
        for theme, found in (("dark", dark), ("light", scan(notebook)))
        for what, how in found.items()
    }


def words(found: dict[str, str]) -> str:
    """The findings as the message of a failed test."""
    return "\n".join(f"{what}\n  {how}" for what, how in sorted(found.items()))


@cache
def _source() -> str:
    if not AXE.is_file():
        hatch_build.install(ROOT / hatch_build.FRONTEND)
    return AXE.read_text(encoding="utf-8")
