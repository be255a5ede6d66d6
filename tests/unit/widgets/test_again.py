"""Going on with a rented run is asked first, in dollars; what its budget stopped says to what its cap is to be raised."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.compute.ledger import Total
from peft_studio.core.ports.compute import RunMeter
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.state import RunState, fold
from peft_studio.widgets._again import propose, view_again
from peft_studio.widgets.run import RunPanel
from tests.ui.folder_run import RentedRun
from tests.ui.write_run import RunWriter
from tests.unit.widgets.browser import Browser

FOLDER = RunFolder(Path("/home/me/studio/runs/r-1"))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run whose checkpoint of step 60 is here."""
    (tmp_path / "runs" / "r-1" / "checkpoints" / "checkpoint-60").mkdir(parents=True)
    return RunFolder(tmp_path / "runs" / "r-1")


def meter(*, spent: str = "1.98", cap: str | None = "2", ended: str = "budget", rate: str = "2") -> RunMeter:
    """Of a run whose last machine is gone."""
    return RunMeter(
        Total(Decimal(spent)), None, None if cap is None else Decimal(cap), "runpod", "NVIDIA L4", "ps-1", None, ended=ended,
        dearest_usd_per_hour=Decimal(rate),
    )  # fmt: skip


def stopped(step: int = 60, total: int = 100) -> RunState:
    """A run with a checkpoint."""
    planned = ev.Planned(
        total_steps=total, steps_per_epoch=10, train_rows=9, eval_rows=1, trainable_parameters=1, total_parameters=2, device="cuda",
        precision="bf16", loop="reference", loop_reason="",
    )  # fmt: skip
    saved = ev.CheckpointSaved(step=step, path="x", size_bytes=1, sha256="0" * 64, duration_s=1.0)
    return fold([planned, saved] if step else [planned])


def test_what_its_budget_stopped_says_to_what_its_cap_is_to_be_raised(folder: RunFolder) -> None:
    """The amount is in all, and the button names what is added to what it has cost."""
    seen = view_again(meter(), stopped(), folder)
    assert seen is not None
    assert (seen["short"], seen["cap"], seen["from_step"]) == (True, "$2.00", 60)
    assert seen["spent"] == "$1.98 so far, estimated"
    first = seen["first"]
    assert (first["max_usd"], first["at_most"], first["more"], first["problem"]) == ("4.40", "$4.40", "$2.42", None)
    assert first["code"].endswith("studio.run('r-1').resume(max_usd='4.40')")


def test_what_has_money_left_goes_on_with_its_cap() -> None:
    """Its cap stands in the field, and the Python names none; one without a cap has an empty field."""
    seen = view_again(meter(spent="0.5", ended="stopped"), stopped(), FOLDER)
    assert seen is not None
    assert (seen["short"], seen["first"]["max_usd"], seen["first"]["more"]) == (False, "2.00", "$1.50")
    assert seen["first"]["code"].endswith(".resume()")
    uncapped = view_again(meter(cap=None, ended="stopped"), stopped(0), FOLDER)
    assert uncapped is not None
    assert (uncapped["short"], uncapped["from_step"], uncapped["first"]["max_usd"], uncapped["first"]["problem"]) == (False, 0, "", None)  # fmt: skip


def test_what_the_cap_of_the_month_stopped_has_not_used_up_its_own(folder: RunFolder) -> None:
    """Both end a machine as ``budget``; to raise its own, of which most is left, would change nothing."""
    seen = view_again(meter(spent="3", cap="50"), stopped(), folder)
    assert seen is not None
    assert (seen["short"], seen["first"]["max_usd"]) == (False, "50.00")


def test_a_checkpoint_that_was_lost_with_its_machine_is_none(folder: RunFolder) -> None:
    """Its log tells of step 90, and step 60 is what came home: it goes on from there, and that is what the rest is counted from."""
    lost, kept = view_again(meter(), stopped(90), folder), view_again(meter(), stopped(60), folder)
    assert lost is not None
    assert lost["from_step"] == 60
    assert lost == kept


@pytest.mark.parametrize("typed", ["1", "1.98", "2.10", "", "many", "-3"])
def test_what_is_no_cap_says_why_and_offers_no_python_that_would_fail(typed: str) -> None:
    """In dollars, and without the names of Python's arguments where an amount is too low."""
    found = propose(meter(), FOLDER, typed)
    low = "It has cost $1.98 already. Give it $2.18 or more: less pays for no machine."
    assert found["problem"] == low if typed not in ("many", "-3") else "is no amount" in found["problem"]
    assert (found["at_most"], found["more"], found["max_usd"]) == ("", "", typed)
    assert found["code"].endswith(".resume()")


@pytest.mark.parametrize("of", [None, meter(rate="0")])
def test_what_costs_nothing_asks_nothing(of: RunMeter | None) -> None:
    """On this machine, and on a cluster of one's own."""
    assert view_again(of, stopped(), FOLDER) is None


def test_the_panel_asks_and_obeys(
    writer: RunWriter, open_browser: Callable[[Callable[[], Any]], Browser], run_folder: Path
) -> None:
    """A cap is proposed, and the one that was confirmed is what the run goes on with."""
    writer.begin()
    writer.train(60)
    writer.end("stopped")
    browser = open_browser(lambda: RunPanel(RentedRun(run_folder)))
    browser.wait(lambda: bool(browser.sections.get("again")))
    assert browser.sections["again"]["short"]
    assert browser.command("propose", max_usd="9")["value"]["more"] == "$7.02"
    browser.command("resume", max_usd="9")
    assert json.loads((run_folder / "asked.json").read_text()) == {"max_usd": "9"}
