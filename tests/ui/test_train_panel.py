"""The Train panel in JupyterLab, inside the studio: used by a person and by cells at once, through to a run that trains."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.conftest import end_processes_of
from tests.speed import write_speed
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)

START = """
from peft_studio import Studio
studio = Studio(home={home!r})
spec = studio.spec(model={model!r}, data={data!r}, name="tiny", max_steps=6, save_steps=3, precision="fp32")
studio.session.choose(panel="train")
studio.show()
"""


@pytest.fixture
def open_studio(
    lab: Lab, request: pytest.FixtureRequest, tmp_path: Path, tiny_model: Path, tiny_rows: Path
) -> Iterator[Callable[..., Notebook]]:
    """The studio on the Train step with model and data chosen by its first cell; other cells stand below. Ends what it started."""
    opened: list[Notebook] = []
    home = write_speed(tmp_path / "my home")

    def open_(*cells: str, **page: object) -> Notebook:
        name = f"{request.node.name.replace('[', '-').replace(']', '')}.ipynb"
        start = START.format(home=str(home), model=str(tiny_model), data=str(tiny_rows))
        opened.append(lab.open([start, *cells], name=name, **page))
        opened[-1].run(0)
        expect(train_of(opened[-1]).locator(".ps-before .ps-badge")).to_have_text("Ready")
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.close()
        assert notebook.errors == []
    end_processes_of(home)


def train_of(notebook: Notebook) -> Locator:
    """The Train panel inside the studio."""
    return notebook.page.locator(".jp-Notebook section.ps-studio section.ps")


def advanced(notebook: Notebook) -> Locator:
    """The panel with all fields shown."""
    panel = train_of(notebook)
    panel.get_by_role("radiogroup", name="Detail").get_by_text("Advanced").click()
    return panel


def test_page_and_cells_change_one_draft(open_studio: Callable[..., Notebook]) -> None:
    """A rank typed in the page is the kernel's; one set by a cell is shown in the page, with the count of changes."""
    notebook = open_studio(
        "print('rank', studio.session.now.draft.rank, studio.session.now.draft.alpha)",
        "_ = studio.spec(model=spec.model, data=studio.session.now.data, max_steps=6, precision='fp32', rank=4)",
    )
    panel = advanced(notebook)
    rank = panel.get_by_label("Rank", exact=True)
    expect(rank).to_have_value("16")
    rank.fill("32")
    rank.press("Enter")
    expect(panel.get_by_role("button", name="Back to default, 16")).to_be_visible()
    expect(panel.get_by_label("Alpha", exact=True)).to_have_value("64")
    expect(panel.get_by_text("5 changed")).to_be_visible()
    notebook.run(1)
    expect(notebook.page.locator(".jp-OutputArea-output").filter(has_text="rank 32 64")).to_be_visible()

    notebook.run(2)
    expect(rank).to_have_value("4")
    expect(panel.get_by_text("3 changed")).to_be_visible()
    panel.get_by_role("button", name="Reset all").click()
    expect(rank).to_have_value("16")
    expect(panel.get_by_text("0 changed")).to_be_visible()

    fit = panel.locator(".ps-est .ps-badge")
    expect(fit).to_have_text("OK")
    batch = panel.get_by_label("Batch", exact=True)
    batch.fill("100000")
    batch.press("Enter")
    expect(fit).to_have_text("Won't fit")
    expect(panel.get_by_text(re.compile(r"^Needs [\d,.]+ \("))).to_contain_text("GiB")
    panel.get_by_role("button", name="Memory, what it is made of").click()
    expect(panel.get_by_role("img", name=re.compile("^activations|^weights"))).to_be_visible()
    expect(panel.locator(".ps-before .ps-badge")).to_contain_text("Not ready")
    expect(panel.get_by_role("button", name="Try 3 rates…")).to_have_attribute(
        "aria-description", "Not ready, 1 problem"
    )


def test_why_opens_and_closes_by_keyboard(open_studio: Callable[..., Notebook]) -> None:
    """Enter opens the reason below the field, one at a time; Esc closes it and gives the focus back."""
    notebook = open_studio("1 + 1")
    panel = advanced(notebook)
    why = panel.get_by_role("button", name="Why, Rank")
    why.focus()
    notebook.page.keyboard.press("Enter")
    reason = panel.get_by_role("group", name="Why, Rank")
    expect(reason).to_contain_text("Enough capacity for data of this size.")
    expect(reason).to_contain_text("Unsloth LoRA guide")
    other = panel.get_by_role("button", name="Why, Dropout")
    other.focus()
    notebook.page.keyboard.press("Enter")
    expect(reason).to_have_count(0)
    expect(panel.get_by_role("group", name="Why, Dropout")).to_be_visible()
    for key in ("d", "d", "Escape"):
        notebook.page.keyboard.press(key)
    expect(panel.get_by_role("group", name="Why, Dropout")).to_have_count(0)
    expect(other).to_be_focused()
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == 2  # the keys were not the notebook's


def test_arrows_choose_the_method(open_studio: Callable[..., Notebook]) -> None:
    """The methods are one stop of Tab; arrows move among them and the trade-off beside them changes."""
    notebook = open_studio("print('method', studio.session.now.draft.method)")
    panel = train_of(notebook)
    methods = panel.get_by_role("radiogroup", name="Method")
    methods.get_by_role("radio", name="LoRA", exact=True).focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(panel.get_by_text("LoRA on a 4-bit base")).to_be_visible()
    expect(panel.get_by_role("radiogroup", name="Quantization").get_by_role("radio", name="nf4")).to_be_checked()
    notebook.run(1)
    expect(notebook.page.locator(".jp-OutputArea-output").filter(has_text="method qlora")).to_be_visible()


def test_an_invalid_value_says_so_below_its_field(open_studio: Callable[..., Notebook]) -> None:
    """The typed value stays with its error, the run cannot be started from it, and a right value ends it."""
    panel = advanced(open_studio())
    rank = panel.get_by_label("Rank", exact=True)
    rank.fill("0")
    rank.press("Enter")
    expect(panel.get_by_role("alert")).to_contain_text("greater than or equal to 1")
    expect(rank).to_have_value("0")
    expect(rank).to_have_attribute("aria-invalid", "true")
    launch = panel.get_by_role("button", name="Train on this machine")
    expect(launch).to_have_attribute("aria-disabled", "true")
    expect(panel.locator(".ps-foot")).to_contain_text("Rank has a value that cannot be used")
    rank.fill("8")
    rank.press("Tab")
    expect(panel.get_by_role("alert")).to_have_count(0)
    expect(launch).not_to_have_attribute("aria-disabled", "true")


def test_not_ready_has_its_fix(open_studio: Callable[..., Notebook]) -> None:
    """PiSSA on a quantised base is refused before it starts; the button mends it."""
    panel = train_of(open_studio())
    panel.get_by_role("radiogroup", name="Method").get_by_text("PiSSA").click()
    panel.get_by_role("radiogroup", name="Quantization").get_by_text("nf4").click()
    expect(panel.locator(".ps-before .ps-badge")).to_have_text("Not ready, 1 problem")
    expect(panel.get_by_text("the base cannot be quantised")).to_be_visible()
    expect(panel.get_by_role("button", name="Train on this machine")).to_have_attribute("aria-disabled", "true")
    panel.get_by_role("button", name="Set quantization to None").click()
    expect(panel.locator(".ps-before .ps-badge")).to_have_text("Ready")


def test_a_file_is_written_asked_about_and_read(open_studio: Callable[..., Notebook], tmp_path: Path) -> None:
    """Export names what it wrote, asks before replacing; import brings the values back."""
    panel = advanced(open_studio())
    path = tmp_path / "kept.json"
    panel.get_by_role("button", name="Export…").click()
    panel.get_by_label("File to export to").fill(str(path))
    panel.get_by_role("button", name="Export", exact=True).click()
    expect(panel.get_by_text("Written to")).to_contain_text("kept.json")
    panel.get_by_role("button", name="Export", exact=True).click()
    panel.get_by_role("dialog").get_by_role("button", name="Cancel").click()

    rank = panel.get_by_label("Rank", exact=True)
    rank.fill("2")
    rank.press("Enter")
    expect(panel.get_by_label("Alpha", exact=True)).to_have_value("4")
    panel.get_by_role("button", name="Import…").click()
    panel.get_by_label("Spec file to import").fill(str(path))
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(rank).to_have_value("16")
    expect(panel.get_by_text(f"Imported {path}.")).to_be_visible()
    panel.get_by_role("button", name="Dismiss").click()
    expect(panel.get_by_text(f"Imported {path}.")).to_have_count(0)


def test_a_real_run_is_launched_and_shown(open_studio: Callable[..., Notebook]) -> None:
    """The primary button starts a trainer, and the studio goes to the Run step, which shows it through to its end."""
    notebook = open_studio("print('rank of the run', studio.run(studio.session.now.run_id).spec.rank)")
    panel = advanced(notebook)
    panel.get_by_label("Rank", exact=True).fill("6")  # and straight to the button: the value counts
    panel.get_by_role("button", name="Train on this machine").click()
    expect(notebook.page.get_by_role("tab", name="Run", exact=True)).to_have_attribute("aria-selected", "true")
    run = notebook.page.locator(".jp-Notebook section.ps-studio section.ps").filter(
        has=notebook.page.locator(".ps-state")
    )
    expect(run.get_by_role("heading", name="tiny")).to_be_visible()
    expect(run.locator(".ps-state")).to_have_attribute("data-state", "completed", timeout=600_000)
    expect(run.get_by_role("rowheader", name="adapter")).to_be_visible()
    notebook.run(1)
    expect(notebook.page.locator(".jp-OutputArea-output").filter(has_text="rank of the run 6")).to_be_visible()


def test_no_width_overflows(open_studio: Callable[..., Notebook], tmp_path: Path) -> None:
    """From a narrow sidebar to a wide cell, and with a larger font, with everything open, nothing sticks out."""
    notebook = open_studio(
        "_ = studio.session.choose(draft=studio.session.now.draft.replace("
        "name='n' * 200, tags=('t' * 60, 'u'), optimizer='adamw_8bit', rank=32, alpha=16))",
        viewport={"width": 1700, "height": 1400},
    )
    notebook.run(1)
    panel = advanced(notebook)
    shell = notebook.panel()
    expect(panel.get_by_label("Optimizer", exact=True)).to_have_value("adamw_8bit")
    for group in ("Machine", "Saving", "Evaluation and samples", "Run"):
        panel.get_by_role("button", name=f"{group}, ").click()
    panel.get_by_role("button", name="Why, Rank").click()
    panel.get_by_role("button", name="Show code").click()
    panel.get_by_role("button", name="Export…").click()
    expect(panel.get_by_label("Tags", exact=True)).to_be_visible()
    for size in ("13px", "16px"):
        for width in WIDTHS:
            notebook.resize(shell, width=width, font=size)
            out = notebook.sticking_out(shell)
            assert out == [], f"at {width} px and {size}: {out}"
