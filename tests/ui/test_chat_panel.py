"""The Chat panel in JupyterLab, used through a real browser, with a real chat process over a tiny model whose every word is hostile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

pytest.importorskip("torch")

from tests.conftest import wait_for
from tests.ui.lab import Lab, Notebook
from tests.unit.runner.trainer.tiny_model import WORDS, save_adapter, save_tiny_model
from tests.unit.widgets.chat_home import write_completed_run

pytestmark = pytest.mark.slow

WIDTHS = (280, 320, 480, 640, 800, 1400)
HOSTILE = "<img src=x onerror='window.stolen=1'>"
SHOW = """
from peft_studio import Studio
studio = Studio(home={home!r})
panel = studio.panel("chat")
panel
"""
LOADS = "print('loads', panel.content._line.loads, panel.content._line._chat.pid)"
LOAD_MS = 240_000  # importing torch on two busy cores


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two completed runs on a model that answers in markup, and an adapter of another base."""
    home = tmp_path_factory.mktemp("chat") / "my home"
    base = save_tiny_model(home / "tiny")
    tokenizer = (base / "tokenizer.json").read_text(encoding="utf-8")
    for number, word in enumerate(WORDS):
        tokenizer = tokenizer.replace(f'"▁{word}":', f"\"▁<img src=x onerror='window.stolen={number}'>\":")
    (base / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    write_completed_run(home, base, name="first", seed=1, number=1)
    write_completed_run(home, base, name="second <b>bold</b>", seed=2, number=2)
    save_adapter(save_tiny_model(home / "other base", seed=3), home / "wrong", seed=4)
    return home


@pytest.fixture(scope="module")
def notebook(lab: Lab, home: Path) -> Iterator[Notebook]:
    """One notebook for all tests here: the model loads once, as it does for a person."""
    opened = lab.open(
        [SHOW.format(home=str(home)), LOADS, LOADS], name="chat.ipynb", viewport={"width": 1700, "height": 1200}
    )
    opened.run(0)
    expect(opened.panel().get_by_label("Prompt")).to_be_visible()
    yield opened
    errors = opened.errors
    opened.close()
    assert errors == []


def wait_for_answers(panel: Locator, count: int) -> list[str]:
    """Wait until so many columns have been answered in full; their texts."""
    done = panel.locator(":scope > .ps-turn article[data-state=done]")
    expect(done).to_have_count(count, timeout=LOAD_MS)
    return done.locator(".ps-text").all_inner_texts()


WATCH = """panel => { window.seen = {}; new MutationObserver(() => {
  for (const one of panel.querySelectorAll(':scope > .ps-turn article')) {
    const name = one.querySelector('h3').textContent;
    (window.seen[name] ??= new Set()).add(one.querySelector('.ps-text')?.textContent.length ?? 0); }
}).observe(panel, { subtree: true, childList: true, characterData: true }); }"""
SEEN = "() => Object.fromEntries(Object.entries(window.seen).map(([name, lengths]) => [name, lengths.size]))"


def test_a_prompt_by_keyboard_is_answered_side_by_side(notebook: Notebook) -> None:
    """Typed and sent without a mouse; the base loads, both columns stream and end, and they differ."""
    panel, keys = notebook.panel(), notebook.page.keyboard
    panel.get_by_role("button", name="Settings").focus()
    keys.press("Enter")
    panel.get_by_label("Longest answer").fill("200")
    keys.press("Enter")
    expect(panel.locator(".ps-manner")).to_contain_text("up to 200 tokens")
    panel.evaluate(WATCH)
    panel.get_by_label("Prompt").focus()
    keys.type("dd the capital")
    keys.press("Shift+Enter")
    keys.type(HOSTILE)
    expect(panel.get_by_label("Prompt")).to_have_value(f"dd the capital\n{HOSTILE}")
    keys.press("Enter")
    expect(panel.locator(".ps-state")).to_contain_text("Loading the base model")
    first, second = wait_for_answers(panel, 2)

    assert first != second
    assert "<img" in first  # the markup was answered, as text
    assert all(count > 2 for count in notebook.page.evaluate(SEEN).values())
    expect(panel.locator(".ps-state")).to_have_text("Loaded")
    expect(panel.locator(".ps-you p")).to_have_text(f"dd the capital\n{HOSTILE}", use_inner_text=True)
    expect(panel.get_by_label("Prompt")).to_have_value("")
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == 3  # no key has reached the notebook


def test_another_adapter_answers_without_loading_the_base_again(notebook: Notebook) -> None:
    """Ticked by keyboard after the first prompt: three columns, one load, one process."""
    panel = notebook.panel()
    notebook.run(1)
    box = panel.get_by_label("first")
    box.focus()
    notebook.page.keyboard.press("Space")
    expect(box).to_be_checked()
    panel.get_by_label("Prompt").fill("yes")
    panel.get_by_role("button", name="Send").click()
    assert len(set(wait_for_answers(panel, 3))) == 3
    expect(panel.locator(".ps-sub")).to_contain_text("2 adapters, swapped without reloading")
    notebook.run(2)

    outputs = notebook.page.locator(".jp-OutputArea-output pre").filter(has_text="loads")
    expect(outputs).to_have_count(2)
    assert outputs.nth(0).inner_text() == outputs.nth(1).inner_text()
    assert "loads 1 " in outputs.nth(0).inner_text()


def test_an_adapter_of_another_base_is_refused_with_its_reason(notebook: Notebook, home: Path) -> None:
    """Its shapes fit, its base does not: the reason stands where the folder was named, with a box for who knows better, and
    the folder stays typed."""
    panel = notebook.panel()
    panel.get_by_label("Add an adapter").select_option(label="From a folder…")
    folder = panel.get_by_label("Folder of an adapter")
    folder.fill(str(home / "wrong"))
    panel.get_by_role("button", name="Add", exact=True).click()
    refusal = panel.locator(".ps-pick").get_by_role("alert")

    expect(refusal).to_contain_text("The adapter 'wrong' does not fit: it was trained on")
    expect(refusal).to_contain_text("has other weights")
    expect(panel.get_by_label("It was trained on this base, under another name")).not_to_be_checked()
    expect(folder).to_have_value(str(home / "wrong"))
    refusal.get_by_role("button", name="Dismiss").click()
    expect(panel.get_by_role("group", name="Who answers").get_by_role("checkbox")).to_have_count(3)


def test_reloading_the_page_keeps_the_conversation(notebook: Notebook) -> None:
    """Both turns are there again with their texts, and what was being typed."""
    panel = notebook.panel()
    before = wait_for_answers(panel, 3)
    panel.get_by_label("Prompt").fill("half a thou")
    expect(panel.get_by_label("Prompt")).to_have_attribute("data-kept", "half a thou")
    notebook.save()
    notebook.load()
    panel = notebook.panel()

    assert wait_for_answers(panel, 3) == before
    expect(panel.locator(".ps-earlier summary")).to_have_count(1)
    expect(panel.get_by_label("Prompt")).to_have_value("half a thou")


def test_nothing_hostile_has_run(notebook: Notebook) -> None:
    """Prompts, answers and names are text: no element came of them, no script ran."""
    panel = notebook.panel()

    assert notebook.page.evaluate("() => window.stolen") is None
    assert notebook.dialogs == []
    assert panel.locator("img, script, b").count() == 0
    expect(panel.get_by_role("heading", name="second <b>bold</b>").first).to_be_visible()


def test_the_saved_notebook_shows_the_last_answers(notebook: Notebook) -> None:
    """The picture is a table of the last prompt and its answers, escaped."""
    output = wait_for(lambda: notebook.saved_output(0, containing="Chat with tiny"), "the picture")

    assert output["text/plain"] == "ChatPanel('tiny')"
    assert "<img" not in output["text/html"]
    assert "&lt;img" in output["text/html"]


def test_no_width_overflows(notebook: Notebook) -> None:
    """With settings, refusal and conversation open nothing sticks out and no word in a button is cut."""
    panel = notebook.panel()
    panel.get_by_role("button", name="Settings").click()
    panel.get_by_role("button", name="Show code").click()
    panel.locator(".ps-earlier summary").click()
    for size in ("13px", "16px"):
        for width in WIDTHS:
            notebook.resize(panel, width=width, font=size)
            out = notebook.sticking_out(panel)
            assert out == [], f"at {width} px and {size}: {out}"
