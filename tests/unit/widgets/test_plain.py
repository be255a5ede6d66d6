"""What lets a panel work wherever anywidget does, as far as it can be seen without those front ends: VS Code, Colab, marimo."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import anywidget
import pytest

from peft_studio import Studio
from peft_studio.widgets import STEPS, open_panel
from peft_studio.widgets._panel import take_clicks_during_cells

PACKAGE = Path(__file__).parents[3] / "peft_studio"
# What of Jupyter is used, and where. All of it is public.
JUPYTER = {
    "widgets/_panel.py": {"anywidget", "IPython", "IPython.display"},
    "widgets/_server.py": {"jupyter_server.auth.decorator", "jupyter_server.base.handlers", "jupyter_server.utils", "tornado"},
    "widgets/_sidebar.py": {"comm"},
}  # fmt: skip


@pytest.mark.parametrize("name", [None, *STEPS])
def test_a_panel_is_one_plain_widget(name: str | None, studio: Studio) -> None:
    """An AnyWidget subclass with a module and a style sheet, no widget inside it, and nothing else that travels as state."""
    panel = open_panel(studio, name)
    state = panel.get_state()

    assert isinstance(panel, anywidget.AnyWidget)
    assert {key for key in state if not key.startswith("_")} <= {"layout", "tabbable", "tooltip"}
    assert "IPY_MODEL_" not in str(
        {key: value for key, value in state.items() if key not in ("layout", "_esm", "_css")}
    )
    panel.close()


@pytest.mark.parametrize("name", ["studio", *STEPS])
def test_a_module_brings_all_it_needs(name: str) -> None:
    """It imports nothing and asks no other machine for anything; where there is no extension it still draws."""
    module = (PACKAGE / "widgets" / "static" / f"{name}.js").read_text(encoding="utf-8")
    sheet = (PACKAGE / "widgets" / "static" / f"{name}.css").read_text(encoding="utf-8")

    assert not re.search(r"""(?:(?:^|[;}])import[\s"'{*]|\brequire\()""", module)
    links = r"www\.w3\.org/|arxiv\.org/abs/"  # the names of SVG and MathML; papers that a reader may open
    assert not re.search(rf"https?://(?!{links})", module)
    assert not re.search(r"@import|url\((?!['\"]?data:)", sheet)


def test_only_public_names_of_jupyter_are_used() -> None:
    """But for one private hook of ipykernel, asked for before it is used."""
    used: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if re.match(r"(IPython|ipy|jupyter|comm\b|traitlets|anywidget|tornado|notebook)", name):
                    used.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(name)

    assert used == JUPYTER
    assert [path.name for path in PACKAGE.rglob("*.py") if "_reply_subshell_for" in path.read_text()] == ["_panel.py"]
    take_clicks_during_cells(object())  # a kernel without the hook
