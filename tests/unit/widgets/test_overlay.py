"""Losses of other runs over those of the one shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.errors import StudioError
from peft_studio.core.runs.curve import Bucket, coarser
from peft_studio.widgets._overlay import MOST, Overlay
from tests.ui.write_home import write_home
from tests.ui.write_run import RunWriter
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven runs that have ended."""
    return write_home(tmp_path_factory.mktemp("overlay") / "home", now=time.time())


@pytest.fixture
def studio(home: Path) -> Studio:
    """A studio on them, in which nothing is chosen."""
    return Studio(home=home)


def lines(page: Browser) -> list[str]:
    """The runs laid over the one shown, by name."""
    return [run["name"].removeprefix("sql-assistant-") for run in page.sections["overlay"]["runs"]]


def test_chosen_runs_are_drawn_in_every_panel_of_the_session(studio: Studio, open_browser: OpenBrowser) -> None:
    """By click or by code; never a run over itself; the Python that is shown chooses the same ones."""
    v4, v3, v2, *_ = (row.id for row in studio.runs().rows)
    page = open_browser(lambda: studio.panel("run", v4))
    offered = page.command("offer")["value"]
    assert [one["name"] for one in offered[:2]] == ["sql-assistant-v3", "sql-assistant-v2"]
    assert page.command("lay_over", run_ids=[v3, v2])["ok"]
    page.wait(lambda: lines(page) == ["v3", "v2"] and page.sections["overlay"]["reading"] is False)
    assert studio.session.now.overlaid == (v3, v2)
    line = next(one for one in page.sections["code"].splitlines() if "overlaid" in one)
    exec(line, {"studio": studio})
    assert studio.session.now.overlaid == (v3, v2)

    studio.session.choose(overlaid=(v4, v2))
    page.wait(lambda: lines(page) == ["v2"])
    assert page.command("lay_over", run_ids=[])["ok"]
    assert page.sections["overlay"]["runs"] == []
    assert "overlaid" not in page.sections["code"]


def test_a_line_is_few_numbers_with_every_axis(studio: Studio, open_browser: OpenBrowser) -> None:
    """At most 240 points a run by step, tokens and time, ending where the run ended; four weigh little."""
    ids = [row.id for row in studio.runs().rows]
    page = open_browser(lambda: studio.panel("run", ids[-1]))
    page.command("lay_over", run_ids=ids[:MOST])
    page.wait(lambda: len(page.sections["overlay"]["runs"]) == MOST)
    first = page.sections["overlay"]["runs"][0]["columns"]

    assert {name: len(values) for name, values in first.items()} == dict.fromkeys(
        ("step", "time_s", "mean", "count", "tokens"), 150
    )
    assert (first["step"][-1], sum(first["count"]), first["tokens"][-1]) == (300, 300, 300 * 1180)
    assert len(json.dumps(page.sections["overlay"])) < 40_000


def test_what_cannot_be_laid_over_says_why(studio: Studio) -> None:
    """Too many, or none of this home; a run that is deleted later is only missing."""
    ids = [row.id for row in studio.runs().rows]
    overlay = Overlay(studio, ids[0])
    for wrong in (ids[: MOST + 1], ["r-20200101-000000-000000"], ["../../etc"]):
        with pytest.raises(StudioError) as caught:
            overlay.choose(wrong)
        assert caught.value.hint
    assert studio.session.now.overlaid == ()


def test_a_run_that_goes_on_grows_and_a_deleted_one_leaves(tmp_path: Path, open_browser: OpenBrowser) -> None:
    """Files are looked at again; nothing is read on the thread that draws."""
    shown, other = (RunWriter(tmp_path / f"runs/r-20261122-20341{n}-00000a") for n in range(2))
    other.train(20)
    studio = Studio(home=tmp_path)
    studio.session.choose(overlaid=(other.folder.id, "r-20200101-000000-000000"))
    page = open_browser(lambda: studio.panel("run", shown.folder.id))

    def ends() -> list[float]:
        return [run["columns"]["step"][-1] for run in page.sections.get("overlay", {}).get("runs", [])]

    page.wait(lambda: ends() == [20])
    other.train(5)

    page.wait(lambda: ends() == [25])
    assert page.sections["overlay"]["problem"] is None


def test_a_coarser_curve_keeps_rows_ends_and_the_mean() -> None:
    """Neighbours are joined, and the curve it is made of is not touched."""
    fine = [Bucket(n, float(n), float(n), n, n, n, 1.0, 1e-4, 0.5) for n in range(1, 11)]
    coarse = coarser(fine, 4)

    assert [(one.step, one.count, one.mean, one.low, one.high) for one in coarse] == [
        (3, 3, 2, 1, 3), (6, 3, 5, 4, 6), (9, 3, 8, 7, 9), (10, 1, 10, 10, 10),
    ]  # fmt: skip
    assert [one.count for one in fine] == [1.0] * 10
    assert coarser([], 4) == []
