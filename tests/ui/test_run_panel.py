"""The Run panel in JupyterLab, watched and used through a real browser while another process writes the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from peft_studio.core.runs.metrics import read_metrics
from tests.conftest import end_processes_of, wait_for
from tests.ui.folder_run import FolderRun
from tests.ui.lab import Lab, Notebook, show_code
from tests.ui.write_run import RunWriter, build_spec

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)


@pytest.fixture
def open_notebook(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """Open a new notebook with these cells. When the test is over its page has seen no error, and its kernel is shut down."""
    opened: list[Notebook] = []

    def open_(*cells: str, **page: object) -> Notebook:
        name = f"{request.node.name.replace('[', '-').replace(']', '')}.ipynb"
        opened.append(lab.open(list(cells), name=name, **page))
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.close()
        assert notebook.errors == []


def step_of(panel: Locator) -> int:
    """The step that the panel shows."""
    words = panel.locator(".ps-progress b").first.inner_text()
    return int(words.removeprefix("Step ").replace(",", ""))


def wait_for_step(panel: Locator, step: int) -> None:
    """Wait until the panel shows this step or a later one."""
    wait_for(lambda: step_of(panel) >= step, f"step {step} in the panel", timeout_s=60)


def test_the_curve_is_drawn_and_grows(open_notebook: Callable[..., Notebook], start_run: Callable[..., Path]) -> None:
    """There are pixels of the first series' colour, and more of them later."""
    notebook = open_notebook(show_code(start_run()))
    notebook.run(0)
    panel = notebook.panel()
    wait_for_step(panel, 10)
    first = notebook.count_pixels(panel.locator(".ps-chart canvas").first, (47, 102, 221))
    wait_for_step(panel, 150)

    assert 0 < first < notebook.count_pixels(panel.locator(".ps-chart canvas").first, (47, 102, 221))


def test_what_its_budget_stopped_goes_on_once_a_higher_cap_is_confirmed(
    open_notebook: Callable[..., Notebook], tmp_path: Path
) -> None:
    """The button says to what; the question names dollars in all and what is added; a cap that pays for nothing cannot be confirmed."""
    writer = RunWriter(tmp_path / "home" / "runs" / "r-20261126-101112-00000a", build_spec())
    writer.begin()
    writer.train(60)
    writer.end("stopped")
    notebook = open_notebook(show_code(writer.folder.path).replace("FolderRun", "RentedRun"))
    notebook.run(0)
    panel = notebook.panel()
    expect(panel.locator("header").first).to_contain_text("its cap of $2.00 is used up")
    panel.get_by_role("button", name="Raise its cap to $").click()
    dialog = panel.get_by_role("dialog")
    expect(dialog).to_contain_text("$1.98 so far, estimated")
    cap = dialog.get_by_label("Never more than, in dollars, in all")
    cap.fill("1.50")
    expect(dialog.get_by_role("alert")).to_contain_text("It has cost $1.98 already. Give it $2.18 or more")
    expect(dialog.get_by_role("button", name="Go on", exact=True)).to_have_attribute("aria-disabled", "true")
    cap.fill("5")
    dialog.get_by_text("The same in Python").first.click()
    expect(dialog).to_contain_text("resume(max_usd='5')")
    dialog.get_by_role("button", name="Go on for at most $3.02 more").click()
    asked = writer.folder.path / "asked.json"
    wait_for(asked.exists, "the resume")
    assert json.loads(asked.read_text()) == {"max_usd": "5"}


# Counts the messages of widgets that come to the notebook's page.
COUNT = """() => { window.came = 0;
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.iopubMessage.connect(
    (_, message) => (window.came += message.header.msg_type === 'comm_msg')); }"""
TALL = 'from IPython.display import HTML\nHTML(\'<div style="height: 4000px"></div><p id="end">the end</p>\')'


def test_out_of_sight_few_messages_come_and_in_sight_it_is_there(
    open_notebook: Callable[..., Notebook], start_run: Callable[..., Path]
) -> None:
    """While the run goes on as fast as before. What was missed is drawn when the panel is scrolled to."""
    run = start_run()
    notebook = open_notebook(show_code(run), TALL)
    notebook.run(0)
    notebook.run(1)
    panel, end = notebook.panel(), notebook.page.locator("#end")
    panel.scroll_into_view_if_needed()
    wait_for_step(panel, 10)
    notebook.page.evaluate(COUNT)
    seen = messages_during(notebook, run, steps=60)
    end.scroll_into_view_if_needed()
    expect(panel).not_to_be_in_viewport()
    messages_during(notebook, run, steps=20)  # until the page has said so
    unseen = messages_during(notebook, run, steps=120)
    last = last_step(run)
    panel.scroll_into_view_if_needed()
    wait_for_step(panel, last)

    assert seen >= 10
    assert unseen <= seen / 2  # in twice the time


def last_step(run: Path) -> int:
    """The step that was logged last."""
    return read_metrics(run / "metrics")[-1].step


def messages_during(notebook: Notebook, run: Path, *, steps: int) -> int:
    """How many messages come to the page while so many steps are logged."""
    until = last_step(run) + steps
    before = notebook.page.evaluate("() => window.came")
    wait_for(lambda: last_step(run) >= until, f"step {until} of the run", timeout_s=60)
    return int(notebook.page.evaluate("() => window.came")) - int(before)


HOSTILE = [
    "<img src=x onerror='window.stolen=1'>",
    "<script>window.stolen=1</script>",
    "</bdi></li></ol><svg onload='window.stolen=1'>",
    "javascript:window.stolen=1",
    "{{constructor.constructor('window.stolen=1')()}}",
    "\u202egnp.exe \x1b[31mred\x1b[0m \x1b]8;;javascript:alert(1)\x07link",
]


def test_hostile_lines_are_only_text(open_notebook: Callable[..., Notebook], start_run: Callable[..., Path]) -> None:
    """Markup in the log is shown as it is and does nothing; controls are gone."""
    notebook = open_notebook(show_code(start_run(*HOSTILE)))
    notebook.run(0)
    log = notebook.panel().get_by_role("log")
    for line in HOSTILE[:-1]:
        expect(log.get_by_text(line, exact=True)).to_have_count(1)
    expect(log.get_by_text("gnp.exe red link", exact=True)).to_have_count(1)

    assert notebook.page.evaluate("() => window.stolen") is None
    assert notebook.dialogs == []
    assert log.locator("img, script, svg, a").count() == 0


def test_reloading_the_page_keeps_the_panel(
    open_notebook: Callable[..., Notebook], start_run: Callable[..., Path]
) -> None:
    """After a reload the panel is there again, live, with the whole curve and log."""
    notebook = open_notebook(show_code(start_run("the first line")))
    notebook.run(0)
    wait_for_step(notebook.panel(), 10)
    notebook.save()
    notebook.load()
    panel = notebook.panel()
    expect(panel.get_by_role("log").get_by_text("the first line")).to_have_count(1)
    seen = step_of(panel)

    wait_for_step(panel, seen + 20)
    panel.get_by_role("button", name="Table").click()
    expect(panel.get_by_role("table").filter(has_text="Smoothed").locator("tbody tr td").first).to_have_text("1")


# Instead of the browser's notifications, which need a person to allow them: keeps what is told, and allows when asked.
NOTIFICATIONS = """window.told = []; window.Notification = class {
  static permission = "default";
  static async requestPermission() { return (this.permission = "granted"); }
  constructor(title, { tag }) { window.told.push([title, tag]); } }; null"""


def test_the_end_is_told_and_the_saved_notebook_shows_it(
    open_notebook: Callable[..., Notebook], start_run: Callable[..., Path]
) -> None:
    """By the browser once it has been asked for, and only once; saved, the notebook shows the end without a kernel."""
    folder = start_run()
    notebook = open_notebook(show_code(folder))
    notebook.page.evaluate(NOTIFICATIONS)
    notebook.run(0)
    panel = notebook.panel()
    wait_for_step(panel, 10)
    panel.get_by_label("Log axis").check()
    panel.get_by_role("button", name="Notify me").click()
    expect(panel.get_by_text("notifies you at the end")).to_be_visible()
    FolderRun(folder).stop(save=False)
    expect(panel.locator(".ps-state")).to_have_attribute("data-state", "stopped")
    output = wait_for(
        lambda: notebook.saved_output(0, containing="Stopped"), "the notebook's picture of the end", timeout_s=30
    )

    assert output["text/plain"] == "RunPanel('orders-to-json')"
    assert "<svg" in output["text/html"]
    expect(notebook.page.locator("section.ps")).to_have_count(1)
    expect(
        notebook.panel().get_by_label("Log axis")
    ).to_be_checked()  # what the reader has set outlives being drawn anew
    assert notebook.page.evaluate("() => window.told") == [["orders-to-json: Stopped", folder.name]]
    expect(panel.get_by_text("The run has stopped")).to_have_count(0)


def test_both_themes_are_worn(open_notebook: Callable[..., Notebook], start_run: Callable[..., Path]) -> None:
    """Surface and text change with JupyterLab's theme, and the chart is drawn in the new colours."""
    notebook = open_notebook(show_code(start_run()))
    notebook.run(0)
    panel = notebook.panel()
    wait_for_step(panel, 30)
    canvas = panel.locator(".ps-chart canvas").first
    assert notebook.lightness(panel) > 0.9
    notebook.set_theme("JupyterLab Dark")
    wait_for(lambda: notebook.lightness(panel) < 0.2, "a dark surface")

    wait_for(lambda: notebook.count_pixels(canvas, (126, 163, 245)) > 0, "the dark theme's first series")
    assert notebook.count_pixels(canvas, (47, 102, 221)) == 0


def test_no_width_overflows(open_notebook: Callable[..., Notebook], start_run: Callable[..., Path]) -> None:
    """From a narrow sidebar to a wide cell, and with a larger font, nothing sticks out and no word in a button is cut."""
    cell = show_code(start_run("x" * 300, "no-space-" * 40))
    notebook = open_notebook(cell, viewport={"width": 1700, "height": 1200})
    notebook.run(0)
    panel = notebook.panel()
    wait_for_step(panel, 60)
    for size in ("13px", "16px"):
        for width in WIDTHS:
            notebook.resize(panel, width=width, font=size)
            out = notebook.sticking_out(panel)
            assert out == [], f"at {width} px and {size}: {out}"


REAL = """
from peft_studio import Studio
studio = Studio(home={home!r})
spec = studio.spec(model={model!r}, data={data!r}, name="tiny", method="lora", rank=4, max_steps=12, save_steps=4,
                   batch_size=4, gradient_accumulation_steps=2, max_length=128, learning_rate=3e-3, precision="fp32")
run = studio.launch(spec)
run.show()
"""


def test_a_real_run_from_launch_to_adapter(
    open_notebook: Callable[..., Notebook], tmp_path: Path, tiny_model: Path, tiny_rows: Path
) -> None:
    """No fixture: the studio launches, a trainer trains, and the panel shows it through to the adapter."""
    home = tmp_path / "my home"
    notebook = open_notebook(REAL.format(home=str(home), model=str(tiny_model), data=str(tiny_rows)))
    try:
        notebook.run(0)
        panel = notebook.panel()
        expect(panel.locator(".ps-state")).to_have_attribute("data-state", "completed", timeout=600_000)
        assert step_of(panel) == 12
        expect(panel.get_by_role("rowheader", name="adapter")).to_be_visible()
        panel.get_by_role("button", name="Show code").click()
        expect(panel.get_by_label("The same in Python")).to_contain_text(".show()")
    finally:
        end_processes_of(home)
