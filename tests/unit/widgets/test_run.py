"""The Run panel, on real folders, with a page at the other end."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.failures import build_failure
from peft_studio.widgets.run import RunPanel
from tests.ui.folder_run import FolderRun
from tests.ui.write_home import write_run
from tests.ui.write_run import RunWriter
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]


@pytest.fixture
def open_run(open_browser: OpenBrowser, run_folder: Path) -> Callable[..., Browser]:
    """Show the run."""
    return lambda **given: open_browser(lambda: RunPanel(FolderRun(run_folder), **given))


@pytest.mark.usefixtures("alive")
def test_steps_arrive_as_they_are_written(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """Rows and lines that are appended later reach the page, each once, in order."""
    writer.begin()
    writer.train(20)
    browser = open_run()
    browser.wait(lambda: len(browser.curve.get("step", [])) == 20)
    for _ in range(5):
        writer.train(10)
    writer.say("warning", "the last line")
    browser.wait(lambda: browser.curve["step"][-1] == 70 and browser.log[-1]["text"] == "the last line")

    assert browser.curve["step"] == list(range(1, 71))
    assert [line["seq"] for line in browser.log] == sorted({line["seq"] for line in browser.log})
    assert browser.sections["progress"]["step"] == 70


@pytest.mark.usefixtures("alive")
def test_the_end_is_shown(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """From training to completed, with the adapter."""
    writer.begin()
    writer.train(10)
    browser = open_run()
    browser.wait(lambda: browser.sections.get("head", {}).get("state") == "training")
    writer.end("completed")

    browser.wait(lambda: browser.sections["head"]["state"] == "completed")
    assert browser.sections["files"][0]["name"] == "adapter"


@pytest.mark.usefixtures("alive")
def test_a_resume_takes_back_the_steps_after_its_checkpoint(
    writer: RunWriter, open_run: Callable[..., Browser]
) -> None:
    """The curve the page ends with is that of the run as it stands, not of both pasts."""
    writer.begin()
    writer.train(60)
    browser = open_run()
    browser.wait(lambda: browser.curve.get("step", [0])[-1] == 60)
    writer.log.append(ev.JobStarted(pid=2, from_step=50))
    writer.rows.rewind(50)
    writer.step = 50
    writer.train(3)

    browser.wait(lambda: browser.curve["step"] == list(range(1, 54)))


@pytest.mark.usefixtures("alive")
def test_a_page_that_comes_later_gets_everything(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """Reloading the page loses nothing."""
    writer.begin()
    writer.train(30)
    browser = open_run()
    browser.wait(lambda: len(browser.curve.get("step", [])) == 30)
    later = Browser(browser.panel)
    later.command("pull")

    assert later.curve == browser.curve
    assert later.log == browser.log
    assert later.sections["head"]["id"] == writer.folder.id


@pytest.mark.usefixtures("alive")
@pytest.mark.parametrize("save", [True, False])
def test_stop_reaches_the_run(writer: RunWriter, open_run: Callable[..., Browser], save: bool) -> None:
    """The run is asked to stop, and to keep what it learned or not."""
    writer.begin()
    reply = open_run().command("stop", save=save)

    assert reply["ok"] is True
    assert json.loads((writer.folder.path / "asked.json").read_text()) == {"stop": True, "save": save}


def test_resume_reaches_the_run(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """The run is asked to go on."""
    writer.begin()
    writer.end("stopped")
    reply = open_run().command("resume")

    assert reply["ok"] is True
    assert json.loads((writer.folder.path / "asked.json").read_text()) == {"resume": True}


def test_retry_starts_the_suggestion(writer: RunWriter, open_run: Callable[..., Browser], run_folder: Path) -> None:
    """A way out of a failure starts a run with exactly its changes; one that does not exist is refused."""
    writer.begin()
    writer.end("failed", build_failure("out_of_memory", "No memory.", spec=writer.spec))
    started: list[dict[str, Any]] = []

    def retry(changes: dict[str, Any]) -> FolderRun:
        started.append(changes)
        return FolderRun(run_folder.with_name("r-20261122-203500-000000"))

    browser = open_run(retry=retry)
    reply = browser.command("retry", suggestion=0)

    assert reply["value"]["id"] == "r-20261122-203500-000000"
    assert started == [{"batch_size": 2, "gradient_accumulation_steps": 8}]
    assert browser.command("retry", suggestion=99)["problem"]["hint"]


@pytest.mark.usefixtures("alive")
def test_a_warning_offers_its_change(writer: RunWriter, open_run: Callable[..., Browser], run_folder: Path) -> None:
    """In words for a button; pressed, a run starts with exactly that change. A warning without one, or unknown, starts nothing."""
    writer.begin()
    writer.log.append(ev.Warned(code="loss_flat", step=9, message="Flat.", changes={"learning_rate": 2e-4 * 3}))
    writer.log.append(ev.Warned(code="memorising", step=9, message="Below 0.1."))
    started: list[dict[str, Any]] = []

    def retry(changes: dict[str, Any]) -> FolderRun:
        started.append(changes)
        return FolderRun(run_folder)

    browser = open_run(retry=retry)
    browser.wait(lambda: len(browser.sections.get("warnings", [])) == 2)
    flat, memorising = browser.sections["warnings"]

    assert flat["way"]["title"] == "Try learning rate 6e-4"
    assert "replace(learning_rate=0.0006" in flat["way"]["code"]
    assert memorising["way"] is None
    assert browser.command("retry", warning=flat["seq"])["ok"] is True
    assert [browser.command("retry", warning=seq)["ok"] for seq in (memorising["seq"], 10**6)] == [False, False]
    assert started == [{"learning_rate": 2e-4 * 3}]


def test_without_retry_the_ways_out_are_code(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """The page is told that it has no button for them."""
    writer.begin()
    writer.end("failed", build_failure("out_of_memory", "No memory.", spec=writer.spec))
    browser = open_run()
    browser.wait(lambda: "can_retry" in browser.sections)

    assert browser.sections["can_retry"] is False
    assert browser.command("retry", suggestion=0)["ok"] is False


@pytest.mark.usefixtures("alive")
def test_at_most_twenty_messages_a_second(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """A burst of a thousand steps is a few updates, and ends exactly right."""
    writer.begin()
    browser = open_run()
    browser.wait(lambda: "step" in browser.curve)
    before = browser.numbers[-1]
    writer.train(1000)
    browser.wait(lambda: browser.curve["step"][-1:] == [1000])

    assert sum(browser.curve["count"]) == 1000
    assert browser.numbers[-1] - before < 1000 / 10


def test_the_text_of_a_panel_reads_the_same_every_time(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """Its name where it has one, without ids, times or addresses."""
    assert repr(open_run().panel) == "RunPanel('orders-to-json')"


def test_a_damaged_folder_is_a_problem_in_the_panel(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """A line that is no event: the panel says so and goes on trying."""
    browser = open_run()
    browser.wait(lambda: "head" in browser.sections)
    with writer.folder.events.open("a") as file:
        file.write("not json\n")

    browser.wait(lambda: bool(browser.sections.get("problem")))


def test_a_deleted_run_is_not_shown_as_if_it_were_there(writer: RunWriter, open_run: Callable[..., Browser]) -> None:
    """Whoever deletes it: the page is told, and has nothing of the run any more."""
    writer.begin()
    writer.end("stopped")
    browser = open_run()
    browser.wait(lambda: "head" in browser.sections)
    shutil.rmtree(writer.folder.path)

    browser.wait(lambda: "head" not in browser.sections)
    assert "deleted" in browser.sections["empty"]["text"]


def test_the_last_run_deleted_leaves_no_run(studio: Studio, open_browser: OpenBrowser) -> None:
    """The step Run of a home whose last run has been deleted says that there is none."""
    folder = write_run(studio.home, 1, "only", "stopped", at=time.time())
    browser = open_browser(lambda: studio.panel("run"))
    browser.wait(lambda: browser.sections.get("head", {}).get("name") == "only")
    studio.run(folder.name).delete()

    browser.wait(lambda: browser.sections.get("empty", {}).get("text", "").startswith("There is no run yet"))
    assert "head" not in browser.sections
