"""The Runs panel on a home of real folders, with a page at the other end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

from peft_studio import Studio
from peft_studio.core.runs.index import RunRow
from peft_studio.core.runs.store import RunStore
from peft_studio.widgets._losses import Losses
from tests.cells import run_cell
from tests.ui.write_home import write_home
from tests.ui.write_run import RunWriter, build_spec
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    """A studio on a home with seven runs."""
    return Studio(home=write_home(tmp_path / "home", now=time.time()))


@pytest.fixture
def page(studio: Studio, open_browser: OpenBrowser) -> Browser:
    """The page of its Runs panel, once it shows them."""
    browser = open_browser(lambda: studio.panel("runs"))
    browser.wait(lambda: "page" in browser.sections)
    return browser


def names(page: Browser) -> list[str]:
    """The runs listed, in order."""
    return [row["name"].removeprefix("sql-assistant-") for row in page.sections["page"]["rows"]]


def id_of(page: Browser, name: str) -> str:
    """The id of a listed run."""
    return str(next(row["id"] for row in page.sections["page"]["rows"] if row["name"].endswith(name)))


def test_runs_come_newest_first_with_what_is_known_of_them(page: Browser) -> None:
    """State with its reason, method and rank, numbers; a curve only where there is one."""
    rows = {row["name"]: row for row in page.sections["page"]["rows"]}
    page.wait(lambda: len(page.sections["sparks"]) == 6)

    assert names(page) == ["v4", "v3", "v2", "v1", "sql-smoke", "sql-ray-02", "notes"]
    assert rows["sql-assistant-v1"]["reason"] == "checkpoint at step 100"
    assert rows["sql-smoke"]["reason"] == "out of memory, step 1"
    assert rows["sql-ray-02"]["state"] == "lost"
    assert rows["sql-ray-02"]["silent_since"] < time.time() - 8 * 86_400
    assert (rows["notes"]["eval_loss"] is not None, rows["sql-smoke"]["eval_loss"]) == (True, None)
    assert rows["sql-smoke"]["id"] not in page.sections["sparks"]
    assert page.sections["sparks"][rows["notes"]["id"]][0] > page.sections["sparks"][rows["notes"]["id"]][-1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [({"text": "ASSISTANT"}, ["v4", "v3", "v2", "v1"]), ({"state": "failed"}, ["sql-smoke"]),
     ({"since": "1d"}, ["v4", "v3", "v2"]), ({"provider": "elsewhere"}, []),
     ({"text": "sql", "since": "7d", "state": "completed"}, ["v4", "v3", "v2"])],
)  # fmt: skip
def test_filters_narrow_together_and_show_as_code(page: Browser, wanted: dict[str, str], found: list[str]) -> None:
    """The reply comes after the rows; the count of all stays; the code names the same filters."""
    assert page.command("filter", **wanted)["ok"]
    assert names(page) == found
    assert (page.sections["page"]["total"], page.sections["page"]["every"]) == (len(found), 7)
    assert all(repr(value) in page.sections["code"] for value in wanted.values())


def test_the_code_lists_the_same_runs(page: Browser) -> None:
    """Run in a fresh kernel it gives the panel's rows in the panel's order."""
    page.command("filter", text="sql", since="30d")
    page.command("sort", by="name", descending=False)
    _, frame = run_cell(page.sections["code"])

    assert list(frame.id) == [row["id"] for row in page.sections["page"]["rows"]]


def test_wrong_questions_are_answered_with_what_to_do(page: Browser) -> None:
    """Nothing is taken on trust from the browser."""
    for name, args in (
        ("filter", {"state": "running"}), ("filter", {"since": "soon"}), ("sort", {"by": "id; --", "descending": True}),
        ("open", {"run_id": "../../etc"}), ("weigh", {"run_ids": ["../.."]}), ("compare", {"run_ids": ["r-1"] * 9}),
    ):  # fmt: skip
        reply = page.command(name, **args)
        assert reply["ok"] is False, name
        assert reply["problem"]["hint"]


def test_opening_a_run_chooses_it_for_every_panel(studio: Studio, page: Browser) -> None:
    """The session has the run and shows its step; what code chooses shows here."""
    v2 = id_of(page, "v2")
    assert page.command("open", run_id=v2)["ok"]
    assert (studio.session.now.run_id, studio.session.now.panel) == (v2, "run")
    page.wait(lambda: page.sections["chosen"] == v2)
    studio.session.choose(run_id=id_of(page, "v4"))
    page.wait(lambda: page.sections["chosen"] == id_of(page, "v4"))


def test_a_window_moves_over_100_000_runs(tmp_path: Path, open_browser: OpenBrowser) -> None:
    """The page gets its window and no more, wherever it is, at once."""
    store = RunStore(tmp_path / "home")
    row = RunRow("", "", "completed", "org/base", "lora", "local", 0.0, 0.0, 1, 1, 1.0, None)
    rows = [replace(row, id=f"r-20261122-203412-{n:06x}", name=f"run {n}", created_at=float(n)) for n in range(100_000)]
    time_ns = time.time_ns() - 60_000_000_000
    os.utime(store.runs, ns=(time_ns, time_ns))
    store.index.put(rows, listed=store.runs.stat().st_mtime_ns)
    browser = open_browser(lambda: Studio(home=tmp_path / "home").panel("runs"))
    browser.wait(lambda: "page" in browser.sections)
    assert browser.sections["page"]["total"] == 100_000
    began = time.process_time()
    assert browser.command("page", start=70_000, count=90)["ok"]

    assert time.process_time() - began < 2.0  # many times what it takes
    shown = browser.sections["page"]
    assert (shown["start"], len(shown["rows"]), shown["rows"][0]["name"]) == (70_000, 90, "run 29999")


def test_compared_runs_show_lines_measures_and_what_differs(studio: Studio, page: Browser) -> None:
    """The best is marked where two differ; equal settings are only counted; a deleted run leaves the comparison."""
    ids = [id_of(page, name) for name in ("v3", "v2", "v1")]
    assert page.command("compare", run_ids=ids)["ok"]
    found = page.sections["comparison"]
    measures = {one["name"]: one for one in found["measures"]}
    settings = {one["name"]: one["values"] for one in found["settings"]}

    assert [run["name"] for run in found["runs"]] == ["sql-assistant-v3", "sql-assistant-v2", "sql-assistant-v1"]
    assert [len(run["points"]["loss"]) for run in found["runs"]] == [160, 160, 120]
    ends = {name: values[-1] for name, values in found["runs"][2]["points"].items()}
    assert (ends["step"], ends["tokens"]) == (120, 120 * 1180)
    assert ends["time_s"] == pytest.approx(119 * 0.67, rel=0.05)
    assert measures["Eval loss"]["best"] == [0, 1]  # the same evaluation, to the last digit shown
    assert measures["Time"]["best"] == []
    assert settings["rank"] == ["32", "16", "16"]
    assert "batch_size" not in settings
    assert found["equal"] > 20

    frame = eval(page.sections["code"].splitlines()[-1], {"studio": studio, "pandas": pandas})
    assert list(frame.columns) == ids
    assert frame.count().tolist() == [240, 200, 120]

    page.command("delete", run_ids=ids[:1], confirmed=True)
    assert [run["name"] for run in page.sections["comparison"]["runs"]] == ["sql-assistant-v2", "sql-assistant-v1"]


def test_deleting_needs_the_dialog(studio: Studio, page: Browser) -> None:
    """What is lost can be asked for; without the confirmation, and for a run that goes on, nothing is deleted."""
    v4, folder = id_of(page, "v4"), studio.run(id_of(page, "v4")).folder.path
    weight = page.command("weigh", run_ids=[v4])["value"]
    assert weight["names"] == ["sql-assistant-v4"]
    assert weight["bytes"] == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert page.command("delete", run_ids=[v4])["ok"] is False
    assert page.command("delete", run_ids=[v4], confirmed="yes")["ok"] is False
    assert folder.is_dir()

    studio.session.choose(run_id=v4)
    assert page.command("delete", run_ids=[v4], confirmed=True)["ok"]
    assert not folder.exists()
    assert "v4" not in names(page)
    assert studio.session.now.run_id is None


def test_rerun_launches_the_same_spec(studio: Studio, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new run is chosen and shown; resume reaches the run."""
    launched, resumed = [], []
    v2 = id_of(page, "v2")

    def launch(spec: Any) -> Any:
        launched.append(spec)
        return studio.run(id_of(page, "v3"))

    monkeypatch.setattr(studio, "launch", launch)
    assert page.command("rerun", run_id=v2)["value"] == id_of(page, "v3")
    assert launched == [studio.run(v2).spec]
    assert studio.session.now.run_id == id_of(page, "v3")
    monkeypatch.setattr("peft_studio.core.services.run.Run.resume", lambda run: resumed.append(run.id))
    assert page.command("resume", run_id=v2)["ok"]
    assert resumed == [v2]


def test_a_new_run_appears_by_itself(tmp_path: Path, page: Browser) -> None:
    """Whoever started it."""
    RunWriter(tmp_path / "home/runs/r-20261123-010000-00000a", build_spec(name="started elsewhere"))

    page.wait(lambda: names(page)[0] == "started elsewhere")
    assert page.sections["page"]["every"] == 8


def test_an_empty_home_says_so(tmp_path: Path, open_browser: OpenBrowser) -> None:
    """No run, no table, nothing wrong; the text of the panel reads the same every time."""
    panel = Studio(home=tmp_path / "empty").panel("runs")
    browser = open_browser(lambda: panel)
    browser.wait(lambda: "page" in browser.sections)

    assert browser.sections["page"]["every"] == 0
    assert repr(panel) == "RunsPanel()"


def test_the_snapshot_is_escaped(studio: Studio, tmp_path: Path) -> None:
    """A saved notebook shows names as text."""
    RunWriter(tmp_path / "home/runs/r-20261123-010000-00000a", build_spec(name="<img src=x onerror=alert(1)>"))
    html = studio.panel("runs")._repr_mimebundle_()["text/html"]

    assert "&lt;img" in html
    assert "<img" not in html
    assert "8 runs" in html


def test_a_curve_is_read_again_only_when_its_file_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by id and size; a resume that went back is read anew."""
    writer = RunWriter(tmp_path / "runs/r-20261122-203412-00000a")
    writer.train(60)
    losses, files = Losses(), [("a", writer.folder.metrics)]
    assert losses.read(files, within_s=9.0)
    first = losses.spark("a")
    monkeypatch.setattr(losses, "find", lambda *_: pytest.fail("read again"))
    assert losses.read(files, within_s=9.0)
    monkeypatch.undo()
    writer.rows.rewind(10)
    writer.rows.log(11, loss=9.0)

    assert losses.read(files, within_s=9.0)
    assert losses.spark("a") != first
    assert losses.find("a", writer.folder.metrics).curve.last_step == 11
