"""The Logs panel on real folders, with a page at the other end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import build_failure
from peft_studio.widgets._log_source import KEPT, LogSource
from tests.cells import run_cell
from tests.ui.write_run import RunWriter, build_spec
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]


@pytest.fixture
def older(tmp_path: Path) -> RunWriter:
    """A run that was first."""
    writer = RunWriter(tmp_path / "runs/r-20261121-203412-00000a", build_spec(name="older"))
    writer.begin()
    return writer


@pytest.fixture
def newer(older: RunWriter, tmp_path: Path) -> RunWriter:
    """A run that came after it."""
    writer = RunWriter(tmp_path / "runs/r-20261122-203412-00000b", build_spec(name="newer"))
    writer.begin()
    return writer


@pytest.fixture
def studio(newer: RunWriter, tmp_path: Path) -> Studio:
    """A studio on the home of both."""
    return Studio(home=tmp_path)


@pytest.fixture
def page(studio: Studio, open_browser: OpenBrowser) -> Browser:
    """The page of its Logs panel, once it shows something."""
    browser = open_browser(lambda: studio.panel("logs"))
    browser.wait(lambda: len(browser.log) > 0)
    return browser


def texts(page: Browser) -> list[str]:
    """The lines shown."""
    return [line["text"] for line in page.log]


def test_new_lines_arrive_once_and_in_order(page: Browser, newer: RunWriter) -> None:
    """Those of the newest run where none is chosen."""
    before = len(page.log)
    for number in range(30):
        newer.say("info", f"line {number}")

    page.wait(lambda: len(page.log) == before + 30)
    assert texts(page)[before:] == [f"line {number}" for number in range(30)]
    assert page.sections["shown"] == "newer"


def test_warnings_of_rules_and_the_failure_are_lines(page: Browser, newer: RunWriter) -> None:
    """What a person should know stands among what was said, and the worst is counted."""
    newer.log.append(ev.Warned(code="spike", step=7, message="The loss jumped.", hint="Lower the rate."))
    newer.end("failed", build_failure("out_of_memory", "No memory left.", spec=newer.spec))

    page.wait(lambda: page.sections["counts"]["error"] == 1)
    assert [line["level"] for line in page.log[-2:]] == ["warning", "error"]
    assert "step 7: The loss jumped. Lower the rate." in texts(page)
    assert page.log[-1]["text"].startswith("failed: No memory left.")


def test_the_filter_hides_and_counts_what_it_hides(page: Browser, newer: RunWriter) -> None:
    """By level, debug only when asked for, and by text in any case; the code gives the same lines."""
    newer.say("debug", "a detail")
    newer.say("error", "Disk is full")
    page.wait(lambda: "Disk is full" in texts(page))
    assert "a detail" not in texts(page)
    assert page.sections["hidden"] == 1

    page.command("filter", level="debug", text="")
    assert "a detail" in texts(page)
    assert page.sections["hidden"] == 0
    page.command("filter", level="warning", text="DISK")
    assert texts(page) == ["Disk is full"]
    assert page.sections["hidden"] == 3
    assert page.sections["code"].endswith(f"studio.run({newer.folder.id!r}).logs(level='warning', contains='DISK')")
    assert page.command("filter", level="loud")["problem"]["hint"]


@pytest.mark.usefixtures("newer")
def test_the_code_gives_the_lines_shown(page: Browser) -> None:
    """Run in a fresh kernel, for one run and for all."""
    for run in ("", "all"):
        page.command("choose", run=run)
        _, lines = run_cell(page.sections["code"])
        assert sorted(line.text for line in lines) == sorted(texts(page))


def test_the_lines_are_those_of_the_chosen_run(page: Browser, studio: Studio, older: RunWriter) -> None:
    """What code or another panel chooses shows here, until a run is chosen here."""
    older.say("info", "from the older")
    studio.session.choose(run_id=older.folder.id)
    page.wait(lambda: page.sections["shown"] == "older" and "from the older" in texts(page))
    assert {line["run"] for line in page.log} == {"older"}

    newest = page.sections["runs"][0]["id"]
    assert page.command("choose", run=newest)["ok"]
    page.wait(lambda: {line["run"] for line in page.log} == {"newer"})
    assert page.command("choose", run="../..")["ok"] is False


def test_all_runs_stand_together_by_time(page: Browser, older: RunWriter, newer: RunWriter, tmp_path: Path) -> None:
    """Each line says whose it is; a run that joins later adds its lines."""
    page.command("choose", run="all")
    page.wait(lambda: {line["run"] for line in page.log} == {"older", "newer"})
    assert [line["at"] for line in page.log] == sorted(line["at"] for line in page.log)
    third = RunWriter(tmp_path / "runs/r-20261123-203412-00000c", build_spec(name="third"))
    third.say("info", "hello")

    page.wait(lambda: "hello" in texts(page))
    assert len([line for line in page.log if line["run"] == "older"]) == 2


def test_a_flood_is_bounded_and_pushes_no_error_out(newer: RunWriter) -> None:
    """The newest lines of each level are kept; a very long line is cut."""
    newer.say("error", "the cause")
    for number in range(KEPT + 500):
        newer.say("info", f"flood {number}")
    newer.say("info", "x" * 1_000_000)
    source = LogSource()
    source.follow([("newer", newer.folder)])

    assert sum(source.counts().values()) == KEPT + 2  # with the warning of the fixture
    assert [line["text"] for line in source.select("error", "")] == ["the cause"]
    shown = source.select("debug", "")
    assert len(shown) == KEPT
    assert len(shown[-1]["text"]) < 3000
    assert source.hidden("debug", "flood") == 3


def test_the_snapshot_is_escaped(studio: Studio, newer: RunWriter) -> None:
    """A saved notebook shows lines as text."""
    newer.say("info", "<script>alert(1)</script>")
    panel = studio.panel("logs")
    html = panel._repr_mimebundle_()["text/html"]

    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert repr(panel) == "LogsPanel()"
    panel.close()
