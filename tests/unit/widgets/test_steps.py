"""The steps, in the order of the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio import Studio
from peft_studio.widgets import STEPS
from tests.unit.widgets.browser import Browser


def test_accounts_and_models_come_first_and_data_is_shown(
    open_browser: Callable[[Callable[[], Any]], Browser], tmp_path: Path
) -> None:
    """A studio opens with what needs no account."""
    page = open_browser(lambda: Studio(home=tmp_path / "home").panel())
    page.wait(lambda: "steps" in page.sections)

    assert [step["name"] for step in page.sections["steps"]][:4] == ["connect", "models", "data", "train"]
    assert (page.sections["panel"], len(STEPS)) == ("data", len(page.sections["steps"]))
    page.command("go", panel="models")
    assert page.sections["panel"] == "models"
