"""The whole way through the studio in JupyterLab, with real runs: by mouse with the embedded model, by keyboard alone, and through a restart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

pytest.importorskip("torch")

from peft_studio import quickstart
from tests.conftest import end_processes_of, wait_for
from tests.speed import write_speed
from tests.ui.axe import scan, scan_themes, words
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

SHOW = "from peft_studio import studio\nstudio.show()"
BUSY = "import pathlib\nwhile not pathlib.Path({!r}).exists():\n    pass"
LIGHT_LINE, DARK_LINE = (47, 102, 221), (126, 163, 245)  # the first series of a chart
READY_MS = 240_000  # a first look at a base model on two busy cores
STEPS = 30


@pytest.fixture
def open_notebook(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """Open a new notebook with these cells. When the test is over no page of it has seen an error."""
    opened: list[Notebook] = []

    def open_(*cells: str) -> Notebook:
        opened.append(
            lab.open(list(cells), name=f"{request.node.name}.ipynb", viewport={"width": 1500, "height": 1000})
        )
        return opened[-1]

    yield open_
    for notebook in opened:
        if not notebook.page.is_closed():
            notebook.close()
        assert notebook.errors == []


class Views:
    """The studio of the notebook in front, as its cell and as the sidebar show it. What one shows the other must show, too."""

    def __init__(self, notebook: Notebook) -> None:
        self.cell = notebook.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook section.ps-studio")
        self.side = notebook.page.locator("#peft-studio-sidebar section.ps-studio")

    def go(self, step: str) -> None:
        """Choose a step in the cell; both show it."""
        self.cell.get_by_role("tab", name=step, exact=True).click()
        self.see_step(step)

    def see_step(self, step: str) -> None:
        """Both are at this step."""
        self.each(
            lambda view: expect(view.get_by_role("tab", name=step, exact=True)).to_have_attribute(
                "aria-selected", "true"
            )
        )

    def see_state(self, state: str, *, timeout: float = 120_000) -> None:
        """Both say that the run is in this state."""
        self.each(
            lambda view: expect(view.locator(".ps-state").first).to_have_attribute("data-state", state, timeout=timeout)
        )

    def each(self, look: Callable[[Locator], None]) -> None:
        """Have the same seen in both."""
        look(self.cell)
        look(self.side)


def step_of(view: Locator) -> int:
    """The step that the Run panel shows."""
    words = view.locator(".ps-progress b").first.inner_text()
    return int(words.removeprefix("Step ").replace(",", ""))


def wait_for_step(view: Locator, step: int) -> None:
    """Wait until the Run panel shows this step or a later one."""
    expect(view.locator(".ps-progress b").first).to_be_visible()
    wait_for(lambda: step_of(view) >= step, f"step {step}")


def test_from_a_file_to_an_answer(open_notebook: Callable[..., Notebook], lab: Lab) -> None:
    """The embedded model: data, draft, launch, a tab closed and opened again, stop, resume, chat. Half in the cell, half in the sidebar."""
    rows = quickstart.data_path().read_text(encoding="utf-8").splitlines(keepends=True)[:24]
    (lab.folder / "way.jsonl").write_text("".join(rows), encoding="utf-8")
    home = write_speed(lab.folder / ".home")
    try:
        notebook = open_notebook(SHOW)
        notebook.run(0)
        notebook.command("peft-studio:open")
        choose_data(Views(notebook))
        draft_and_launch(Views(notebook))
        watch(notebook, Views(notebook))
        seen = step_of(Views(notebook).cell)
        notebook.save()
        notebook.page.close()

        again = lab.reopen(notebook)
        again.command("peft-studio:open")
        stop_and_resume(Views(again), home, seen)
        chat(again, Views(again))
        assert again.errors == []
        again.close()
    finally:
        end_processes_of(home)


def choose_data(views: Views) -> None:
    """Pick the file in the cell; both check it; use it in the sidebar."""
    views.cell.get_by_role("list", name="Data files in").get_by_role("button", name="way.jsonl").click()
    views.each(lambda view: expect(view.get_by_role("heading", name="way.jsonl")).to_be_visible())
    views.each(lambda view: expect(view.locator(".ps-head .ps-badge")).to_contain_text("Usable", timeout=READY_MS))
    views.side.get_by_role("button", name="Use this data").click()
    views.see_step("Train")


def draft_and_launch(views: Views) -> None:
    """Name the model in the sidebar, change fields in both, and launch straight from a field in the cell."""
    model = views.side.get_by_label("Base model", exact=True)
    model.fill("smollm2-135m")
    model.press("Enter")
    views.each(lambda view: expect(view.locator(".ps-before .ps-badge")).to_have_text("Ready", timeout=READY_MS))
    for field, value in {"Max steps": str(STEPS)}.items():
        views.side.get_by_label(field, exact=True).fill(value)
        views.side.get_by_label(field, exact=True).press("Enter")
        expect(views.cell.get_by_label(field, exact=True)).to_have_value(value)
    views.cell.get_by_role("radiogroup", name="Detail").get_by_text("Advanced").click()
    views.cell.get_by_role("button", name="Saving, ").click()
    fields = {
        "Rank": "4",
        "Learning rate": "0.001",
        "Batch": "1",
        "Accumulation": "1",
        "Max length": "96",
        "Save every": "5",
    }
    for field, value in fields.items():
        views.cell.get_by_label(field, exact=True).fill(value)
    expect(views.cell.locator(".ps-before .ps-badge")).to_have_text(
        "Ready"
    )  # the last field is set by leaving it for the button
    views.cell.get_by_role("button", name="Train on this machine").click()
    views.see_step("Run")


def watch(notebook: Notebook, views: Views) -> None:
    """Steps and loss arrive in both, and the chart and both views wear the theme that is chosen while the run goes on."""
    views.see_state("training")
    views.each(lambda view: wait_for_step(view, 2))
    views.each(lambda view: expect(view.locator(".ps-tiles .ps-value").first).to_have_text(re.compile(r"\d\.\d")))
    canvas = views.cell.locator(".ps-chart canvas").first
    wait_for(lambda: notebook.count_pixels(canvas, LIGHT_LINE) > 0, "a line in the light theme's colour")
    found = scan(notebook)
    notebook.set_theme("JupyterLab Dark")
    views.each(lambda view: wait_for(lambda: notebook.lightness(view) < 0.2, "a dark surface") and None)
    wait_for(lambda: notebook.count_pixels(canvas, DARK_LINE) > 0, "a line in the dark theme's colour")
    assert notebook.count_pixels(canvas, LIGHT_LINE) == 0
    assert not found, words(found)
    notebook.set_theme("JupyterLab Light")


def stop_and_resume(views: Views, home: Path, seen: int) -> None:
    """The page that was closed shows the run further on, with its whole curve; it is stopped in the sidebar and resumed in the cell."""
    views.see_step("Run")
    views.each(lambda view: wait_for_step(view, seen + 1))
    views.side.get_by_role("button", name="Stop and save…").click()
    views.side.get_by_role("dialog").get_by_role("button", name="Stop and save").click()
    views.see_state("stopped")
    (run,) = (home / "runs").iterdir()
    spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))
    assert (spec["max_steps"], spec["rank"], spec["save_steps"]) == (STEPS, 4, 5)
    assert (run / "adapter" / "adapter_config.json").is_file()
    assert step_of(views.cell) < STEPS
    views.cell.get_by_role("button", name="Resume").click()
    views.see_state("completed", timeout=600_000)
    views.each(lambda view: expect(view.locator(".ps-progress b").first).to_have_text(f"Step {STEPS}"))
    views.cell.get_by_role("button", name="Table").first.click()
    losses = views.cell.get_by_role("table").filter(has_text="Smoothed")
    expect(losses.locator("tbody tr td").first).to_have_text("1")


WATCH = """panel => { window.seen = {}; new MutationObserver(() => {
  for (const one of panel.querySelectorAll('.ps-turn article')) {
    const name = one.querySelector('h3').textContent;
    (window.seen[name] ??= new Set()).add(one.querySelector('.ps-text')?.textContent.length ?? 0); }
}).observe(panel, { subtree: true, childList: true, characterData: true }); }"""


def chat(notebook: Notebook, views: Views) -> None:
    """The base and the run's adapter answer one prompt, streaming; both views have the same texts."""
    views.go("Chat")
    views.cell.get_by_role("button", name="Settings").click()
    views.cell.get_by_label("Longest answer").fill("24")
    views.cell.get_by_label("Longest answer").press("Enter")
    expect(views.side.locator(".ps-manner")).to_contain_text("up to 24 tokens")
    views.cell.evaluate(WATCH)
    prompt = views.side.get_by_label("Prompt")
    prompt.fill(quickstart.prompts()[0].prompt)
    prompt.press("Enter")
    done = "article[data-state=done]"
    views.each(lambda view: expect(view.locator(done)).to_have_count(2, timeout=READY_MS))
    first, second = views.cell.locator(f"{done} .ps-text").all_inner_texts()

    assert first != second
    assert views.side.locator(f"{done} .ps-text").all_inner_texts() == [first, second]
    lengths = notebook.page.evaluate("() => Object.values(window.seen).map(lengths => lengths.size)")
    assert len(lengths) == 2
    assert all(count > 2 for count in lengths)
    found = scan_themes(notebook)
    assert not found, words(found)


OPEN = "from peft_studio import Studio\nstudio = Studio(home={home!r})\nstudio.session.choose(model={model!r})\nstudio.show()"
LAUNCH = """
run = studio.launch(studio.spec(model={model!r}, data={data!r}, name="tiny", method="lora", rank=4, max_steps=20_000,
                    batch_size=1, gradient_accumulation_steps=1, max_length=64, precision="fp32"))
studio.session.choose(panel="run")
"""


def test_a_restart_a_busy_cell_and_a_second_notebook(
    open_notebook: Callable[..., Notebook], lab: Lab, tmp_path: Path, tiny_model: Path, tiny_rows: Path
) -> None:
    """A run goes on while its kernel is restarted; another notebook of the same home shows it and stops it from under a busy cell."""
    home, gate = write_speed(tmp_path / "my home"), tmp_path / "gate"
    show = OPEN.format(home=str(home), model=str(tiny_model))
    try:
        notebook = open_notebook(show, LAUNCH.format(model=str(tiny_model), data=str(tiny_rows)))
        first = Views(notebook).cell
        notebook.run(0)
        notebook.run(1)
        wait_for_step(first, 5)
        seen = step_of(first)
        notebook.restart_kernel()
        notebook.run(0)
        first.get_by_role("tab", name="Run", exact=True).click()
        wait_for_step(first, seen + 5)
        expect(notebook.page.locator("section.ps-studio")).to_have_count(1)

        lab.write([show, BUSY.format(str(gate))], name="second.ipynb")
        name = notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
        notebook.bring("second.ipynb")
        second = Views(notebook).cell
        notebook.run(0)
        notebook.start(1)
        notebook.wait_for_busy(1)
        second.get_by_role("tab", name="Run", exact=True).click()
        wait_for_step(second, 1)
        wait_for_step(second, step_of(second) + 20)
        second.get_by_role("button", name="Stop…", exact=True).click()
        second.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
        expect(second.locator(".ps-state").first).to_have_attribute("data-state", "stopped")
        notebook.wait_for_busy(1)  # all of that happened while the cell was running
        gate.touch()
        notebook.wait_for_cell(1)
        notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        notebook.bring(name)
        expect(first.locator(".ps-state").first).to_have_attribute("data-state", "stopped")
    finally:
        end_processes_of(home)


FOCUSED = """() => {
  const one = document.activeElement;
  const words = one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent;
  const ringed = [one, one.closest('.ps-in'), one.closest('.ps-seg label'), one.closest('.ps-composer')].filter(Boolean)
    .some(each => getComputedStyle(each).outlineStyle !== 'none' && parseFloat(getComputedStyle(each).outlineWidth) >= 2);
  return { name: words.trim(), ours: Boolean(one.closest('.ps')), body: one === document.body,
           ringed: one.matches(':focus-visible') && ringed };
}"""


class Hands:
    """A person with a keyboard and no mouse. Wherever they are in the studio, they see where that is."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._pressed: list[str] = []
        self.lost: list[str] = []  # places where the focus could not be seen, or was nowhere

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self._page.keyboard.press(key)
        self._pressed = [*self._pressed, *keys][-12:]

    def type(self, text: str) -> None:
        """Replace what a field holds."""
        self.press("ControlOrMeta+a")
        self._page.keyboard.type(text)
        self._pressed.append(text)

    def at(self) -> str:
        """The name of what has the focus."""
        found = self._page.evaluate(FOCUSED)
        if found["body"] or (found["ours"] and not found["ringed"]):
            self.lost.append(f"{'nowhere' if found['body'] else found['name']} after {self._pressed}")
        return str(found["name"])

    def reach(self, name: str, *, key: str = "Tab", most: int = 60) -> None:
        """Press Tab until this has the focus."""
        passed = []
        for _ in range(most):
            self.press(key)
            passed.append(self.at())
            if passed[-1].startswith(name):
                return
        raise AssertionError(f"{name!r} was not reached by {key}; passed: {passed}")


def test_by_keyboard_alone(
    open_notebook: Callable[..., Notebook], tmp_path: Path, tiny_model: Path, tiny_rows: Path
) -> None:
    """From choosing data to an answer with Tab, Shift+Tab, arrows, Enter, Space and Escape; the focus is always seen and never lost."""
    home = tmp_path / "my home"
    try:
        notebook = open_notebook(OPEN.format(home=str(home), model=str(tiny_model)), "1 + 1")
        notebook.run(0)
        cell, hands = Views(notebook).cell, Hands(notebook.page)
        expect(cell.get_by_label("File, folder or hub id")).to_be_visible()
        cell.get_by_role("tab", name="Data").focus()  # from here on no mouse and no script
        data_by_keyboard(cell, hands, tiny_rows)
        launch_by_keyboard(cell, hands, tiny_model)
        stop_by_keyboard(cell, hands)
        chat_by_keyboard(cell, hands)

        assert hands.lost == []
        assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == 2  # no key was a shortcut of the notebook
    finally:
        end_processes_of(home)


def data_by_keyboard(cell: Locator, hands: Hands, rows: Path) -> None:
    """Type a wrong path, then the right one, and use the data."""
    hands.reach("File, folder or hub id")
    hands.type(str(rows) + "x")
    hands.press("Enter")
    expect(cell.get_by_role("alert")).to_be_visible()
    assert hands.at() == "File, folder or hub id"  # where it was, to be typed again
    hands.type(str(rows))
    hands.press("Enter")
    expect(cell.locator(".ps-head .ps-badge")).to_contain_text("Usable", timeout=READY_MS)
    hands.at()
    hands.reach("Use this data")
    hands.press("Enter")
    expect(cell.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    expect(cell.get_by_label("Base model")).to_be_visible()
    hands.at()


def launch_by_keyboard(cell: Locator, hands: Hands, model: Path) -> None:
    """Name the model, look at all fields, read a reason, set the steps, choose a method by arrow, launch."""
    hands.reach("Base model")
    hands.type(str(model))
    hands.press("Enter")
    expect(cell.locator(".ps-before .ps-badge")).to_have_text("Ready", timeout=READY_MS)
    hands.reach("Max steps")
    hands.type("20000")
    hands.press("Enter")
    hands.reach("Simple")
    hands.press("ArrowRight")
    expect(cell.get_by_label("Rank", exact=True)).to_be_visible()
    hands.reach("Why, Rank")
    hands.press("Enter")
    expect(cell.get_by_role("group", name="Why, Rank")).to_be_visible()
    hands.press("Escape")
    expect(cell.get_by_role("group", name="Why, Rank")).to_have_count(0)
    hands.at()
    hands.reach("LoRA", key="Shift+Tab")
    hands.press("ArrowLeft")  # from the first to the last
    expect(cell.get_by_role("radio", name="rsLoRA")).to_be_checked()
    expect(cell.locator(".ps-before .ps-badge")).to_have_text("Ready")
    hands.reach("Train on this machine", most=90)
    hands.press("Enter")
    expect(cell.get_by_role("tab", name="Run", exact=True)).to_have_attribute("aria-selected", "true")
    wait_for_step(cell, 3)
    hands.at()


def stop_by_keyboard(cell: Locator, hands: Hands) -> None:
    """Ask to stop, think better of it, ask again and stop."""
    dialog = cell.get_by_role("dialog")
    hands.reach("Stop and save…")
    hands.press("d", "d", "Enter")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    hands.at()
    hands.press("Escape")
    expect(dialog).to_have_count(0)
    expect(cell.get_by_role("button", name="Stop and save…")).to_be_focused()
    hands.press("Enter")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    hands.press("Tab")
    hands.at()
    hands.press("Enter")
    expect(cell.locator(".ps-state").first).to_have_attribute("data-state", "stopped")
    expect(cell.get_by_role("button", name="Resume")).to_be_visible()
    hands.at()


def chat_by_keyboard(cell: Locator, hands: Hands) -> None:
    """Back to the steps, by arrows to Chat, and a prompt to the base."""
    hands.reach("Run", key="Shift+Tab")
    hands.press("ArrowRight")
    expect(cell.get_by_label("Prompt")).to_be_visible()
    hands.at()
    hands.reach("Prompt")
    hands.press(*"hi", "Enter")
    expect(cell.locator("article[data-state=done]")).to_have_count(1, timeout=READY_MS)
    hands.at()
    hands.press("Tab", "Space")  # nobody is asked
    expect(cell.get_by_role("checkbox", name="Base model")).not_to_be_checked()
    hands.at()
