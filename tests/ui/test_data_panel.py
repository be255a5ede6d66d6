"""The Data panel in JupyterLab, used through a real browser on real files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.conftest import wait_for
from tests.tiny import build_rows, write_rows, write_tokenizer
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)
SHOW = """
from peft_studio import Studio
studio = Studio(home={home!r})
studio.session.choose(model={model!r})
studio.panel("data")
"""
HOSTILE = [
    "<img src=x onerror='window.stolen=1'>",
    "</span></div><script>window.stolen=1</script>",
    "{{constructor.constructor('window.stolen=1')()}}",
]
RIGHT_TO_LEFT = "\u202egnp.exe \x1b[31mred\x1b[0m \u05e9\u05dc\u05d5\u05dd"


@pytest.fixture
def open_panel(lab: Lab, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    """Show the Data panel of a studio whose model is the tiny tokenizer. Afterwards its page has seen no error."""
    model = tmp_path / "tiny"
    model.mkdir()
    write_tokenizer(model)
    opened: list[Notebook] = []

    def open_(*cells: str, **page: Any) -> Notebook:
        show = SHOW.format(home=str(tmp_path / "my home"), model=str(model))
        notebook = lab.open([show, *cells], name=f"{request.node.name}.ipynb", **page)
        opened.append(notebook)
        notebook.run(0)
        expect(notebook.panel().get_by_label("File, folder or hub id")).to_be_visible()
        return notebook

    yield open_
    for notebook in opened:
        notebook.close()
        assert notebook.errors == []


def write_lines(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def open_path(panel: Locator, path: Path) -> None:
    """Type a path and press Enter."""
    field = panel.get_by_label("File, folder or hub id")
    field.fill(str(path))
    field.press("Enter")


def badge(panel: Locator) -> Locator:
    return panel.locator(".ps-head .ps-badge")


def wait_for_row(panel: Locator, number: int) -> Locator:
    """The region of a row, once it is shown."""
    region = panel.get_by_role("region", name=f"Row {number} as trained")
    expect(region).to_be_visible()  # one of a megabyte takes its time
    return region


def expect_tip_by_pointer_and_keyboard(notebook: Notebook, button: Locator) -> None:
    """Why a button cannot be pressed is shown to whoever points at it or comes to it, can be read at leisure, and goes with Escape."""
    tip = notebook.page.locator(".jp-Notebook .ps-tip:popover-open")
    reason = button.get_attribute("aria-description")
    assert reason
    button.hover()
    expect(tip).to_have_text(reason)
    tip.hover()
    expect(tip).to_have_text(reason)
    notebook.page.mouse.move(0, 0)
    expect(tip).to_have_count(0)
    button.press("Shift+Tab")
    notebook.page.keyboard.press("Tab")
    expect(button).to_be_focused()
    expect(tip).to_have_text(reason)
    notebook.page.keyboard.press("Escape")
    expect(tip).to_have_count(0)


def test_from_a_path_to_data_that_is_used(open_panel: Callable[..., Notebook], tmp_path: Path) -> None:
    """Type a path, read the verdict, follow a finding to its row, settle it, split, and use the data."""
    rows: list[Any] = [*build_rows(30), {"prompt": "only a prompt"}, *build_rows(1)]
    path = write_lines(tmp_path / "orders.jsonl", rows)
    before = path.read_bytes()
    notebook = open_panel("d = studio.session.now.data\nprint(d.ref.left_out, d.ref.split, d.sizes)")
    panel = notebook.panel()
    open_path(panel, path)
    expect(badge(panel)).to_have_text("Not usable, 1 blocking")
    expect(panel.get_by_role("heading", name="orders.jsonl")).to_be_visible()
    expect(panel.get_by_role("img", name="Lengths of 31 rows")).to_be_visible()
    use = panel.get_by_role("button", name="Use this data")
    expect(use).to_have_attribute("aria-disabled", "true")
    expect_tip_by_pointer_and_keyboard(notebook, use)

    panel.get_by_role("button", name="Show row 30").first.click()
    expect(panel.get_by_label("Row, counted from 0")).to_have_value("30")
    expect(panel.get_by_text("Row 30: orders.jsonl:31")).to_be_visible()
    panel.get_by_role("button", name="Leave out 1").first.click()
    expect(panel.get_by_text("1 row is left out")).to_be_visible()
    expect(badge(panel)).to_contain_text("Usable")

    panel.get_by_role("button", name="Previous row").click()
    region = wait_for_row(panel, 29)
    trained = "".join(region.locator(".ps-m-t").all_inner_texts())
    assert json.loads(trained.removesuffix("<|im_end|>")) == json.loads(rows[29]["completion"])
    panel.get_by_text("Source", exact=True).click()
    expect(panel.get_by_role("region", name="Row 29 as its source has it")).to_contain_text('"prompt": "Please send')

    panel.get_by_label("Share held out for evaluation, in percent").fill("20")
    panel.get_by_label("Share held out for evaluation, in percent").press("Tab")
    panel.get_by_role("button", name="Read it so").click()
    expect(panel.get_by_text("5 held out for evaluation")).to_be_visible()
    panel.get_by_role("button", name="Show code").click()
    expect(panel.get_by_label("The same in Python")).to_contain_text("split=0.2, seed=0)\ndata = data.leave_out([30])")
    use.click()
    expect(panel.get_by_text("The next run of this session is trained on it.")).to_be_visible()
    notebook.run(1)
    expect(notebook.page.get_by_text("(30,) 0.2 (26, 5)")).to_be_visible()
    assert path.read_bytes() == before


def test_columns_are_mapped_by_hand(open_panel: Callable[..., Notebook], tmp_path: Path) -> None:
    """A table that nobody recognises keeps the data that was there, names its columns, and opens once they are mapped."""
    path = tmp_path / "odd.csv"
    path.write_text("alpha,beta\nWhat is 1 + 1?,It is 2.\nWhat is 2 + 2?,It is 4.\n")
    notebook = open_panel(f"studio.data({str(write_rows(tmp_path / 'first.jsonl', 8))!r})")
    panel = notebook.panel()
    notebook.run(1)
    expect(badge(panel)).to_have_text("Usable")  # what a cell opens is shown
    panel.get_by_role("button", name="Choose…").click()
    open_path(panel, path)
    expect(panel.get_by_role("alert")).to_contain_text("the columns are: 'alpha', 'beta'")
    expect(panel.get_by_role("heading", name="first.jsonl")).to_be_visible()

    form = panel.locator(".ps-sec").filter(has=panel.page.get_by_role("heading", name="Map its columns by hand"))
    form.get_by_label("Column for prompt").select_option("alpha")
    expect(form.get_by_role("button", name="Read it so")).to_have_attribute("aria-disabled", "true")
    form.get_by_label("Column for completion").select_option("beta")
    form.get_by_role("button", name="Read it so").click()

    expect(panel.get_by_role("heading", name="odd.csv")).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)
    expect(wait_for_row(panel, 0).locator(".ps-m-t").first).to_have_text("It is 2.")


def test_a_file_is_chosen_and_dropped(open_panel: Callable[..., Notebook], lab: Lab, tmp_path: Path) -> None:
    """From the folder of the kernel by keyboard, then by dropping a file larger than one piece on the panel."""
    write_rows(lab.folder / "in folder.jsonl", 10)
    notebook = open_panel()
    panel = notebook.panel()
    entry = panel.get_by_role("list", name="Data files in").get_by_role("button", name="in folder.jsonl")
    entry.focus()
    notebook.page.keyboard.press("Enter")
    expect(badge(panel)).to_have_text("Usable")
    expect(panel.get_by_text("10 rows", exact=True)).to_be_visible()

    rows = [{"prompt": "p" * 400, "completion": f"answer {number}"} for number in range(4000)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    carried = notebook.page.evaluate_handle(
        "text => { const all = new DataTransfer(); all.items.add(new File([text], 'dropped.jsonl')); return all; }",
        text,
    )
    panel.dispatch_event("dragover", {"dataTransfer": carried})
    expect(panel).to_have_class(re.compile(r"\bps-dropping\b"))
    panel.dispatch_event("drop", {"dataTransfer": carried})
    expect(panel.get_by_role("heading", name="dropped.jsonl")).to_be_visible()
    expect(panel.get_by_text("4,000 rows", exact=True)).to_be_visible()
    (kept,) = (tmp_path / "my home" / "data" / "uploads").iterdir()
    assert kept.read_text() == text


def test_hostile_rows_are_only_text(open_panel: Callable[..., Notebook], tmp_path: Path) -> None:
    """Markup in rows, roles and column names is shown as it is and does nothing; controls are gone; a megabyte is cut."""
    rows = [{"prompt": text, "completion": text} for text in (*HOSTILE, RIGHT_TO_LEFT, "some words " * 90_000)]
    rows.append({"prompt": "p", "completion": "c", "<img src=x onerror='window.stolen=1'>": "extra"})  # type: ignore[dict-item]
    path = write_lines(tmp_path / "<img src=x onerror=window.stolen=1>.jsonl", rows)
    notebook = open_panel()
    panel = notebook.panel()
    open_path(panel, path)
    expect(badge(panel)).to_have_text("Not usable, 1 blocking")  # the megabyte fills the whole context
    for number, text in enumerate(HOSTILE):
        expect(wait_for_row(panel, number)).to_contain_text(text)
        panel.get_by_text("Source", exact=True).click()
        expect(panel.get_by_role("region", name=f"Row {number} as its source")).to_contain_text(text)
        panel.get_by_text("Tokens", exact=True).click()
        expect(wait_for_row(panel, number)).to_contain_text(text[:4])
        panel.get_by_text("Text", exact=True).click()
        panel.get_by_role("button", name="Next row").click()
    shown = wait_for_row(panel, 3)
    expect(shown).to_contain_text("\u05e9\u05dc\u05d5\u05dd")
    assert not {"\u202e", "\x1b"} & set(shown.inner_text())
    panel.get_by_role("button", name="Next row").click()
    expect(wait_for_row(panel, 4)).to_contain_text(" tokens … ")
    assert len(wait_for_row(panel, 4).inner_text()) < 60_000

    assert notebook.page.evaluate("() => window.stolen") is None
    assert notebook.dialogs == []
    assert panel.locator("img, script, iframe, a").count() == 0


def test_no_width_overflows(open_panel: Callable[..., Notebook], tmp_path: Path) -> None:
    """From a narrow sidebar to a wide cell, and with a larger font, nothing sticks out and no word in a button is cut."""
    rows: list[Any] = [
        *build_rows(40),
        *build_rows(3),
        {"prompt": "no-space-" * 60, "completion": "x" * 300},
        {"prompt": 1},
    ]
    path = write_lines(tmp_path / ("a-very-long-name-" * 8 + ".jsonl"), rows)
    notebook = open_panel(viewport={"width": 1700, "height": 1200})
    panel = notebook.panel()
    check_widths(notebook, panel)
    open_path(panel, path)
    expect(badge(panel)).to_contain_text("Not usable")
    panel.get_by_label("Tokens to cut rows at (max_length)").fill("60")
    panel.get_by_label("Tokens to cut rows at (max_length)").press("Tab")
    expect(panel.get_by_role("img", name="rows are longer than 60 and cut")).to_be_visible()
    panel.get_by_role("button", name="Show code").click()
    panel.get_by_role("button", name="Choose…").click()
    odd = tmp_path / "odd.csv"
    odd.write_text("a-column-with-a-very-long-name-" * 5 + ",b\n1,2\n")
    open_path(panel, odd)
    expect(panel.get_by_role("heading", name="Map its columns by hand")).to_be_visible()
    check_widths(notebook, panel)
    panel.get_by_text("Tokens", exact=True).click()
    panel.get_by_role("button", name="Table").click()
    check_widths(notebook, panel)


def check_widths(notebook: Notebook, panel: Locator) -> None:
    """Nothing sticks out at any width with two font sizes. The chart is drawn to a new width a frame later, so it may take two looks."""
    for size in ("13px", "16px"):
        for width in WIDTHS:
            notebook.resize(panel, width=width, font=size)
            notebook.page.wait_for_function(
                "panel => [...panel.querySelectorAll('.ps-histogram svg')].every(one => one.clientWidth === one.parentElement.clientWidth)",
                arg=panel.element_handle(),
            )
            out = notebook.sticking_out(panel)
            assert out == [], f"at {width} px and {size}: {out}"


def test_the_saved_notebook_has_the_report(open_panel: Callable[..., Notebook], tmp_path: Path) -> None:
    """Shown again once checked, the notebook saves verdict, facts and lengths for a page without a kernel."""
    path = write_rows(tmp_path / "orders.jsonl", 12)
    notebook = open_panel(f"studio.data({str(path)!r})", "panel = studio.panel('data')", "panel")
    notebook.run(1)
    expect(badge(notebook.panel())).to_have_text("Usable")
    notebook.run(2)
    notebook.run(3)
    output = wait_for(lambda: notebook.saved_output(3, containing="orders.jsonl"), "the saved picture")

    assert output["text/plain"] == "DataPanel('orders.jsonl')"
    assert "12 rows" in output["text/html"]
