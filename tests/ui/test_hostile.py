"""Five hundred hostile strings through every place that shows text: no script runs, no request leaves, all is text, the panels stay of use."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Request, expect

from peft_studio import Studio, cli
from peft_studio.widgets._text import plain
from peft_studio.widgets.logs import LogsContent
from peft_studio.widgets.run import RunContent
from peft_studio.widgets.runs import RunsContent
from tests.conftest import wait_for
from tests.ui.folder_run import FolderRun
from tests.ui.hostile import HALVES, HOSTILE, write_hostile_run
from tests.ui.lab import Lab, Notebook

pytestmark = pytest.mark.slow

FAT = 25  # runs that hold twenty strings each, in every place; the others are named by one each
FIRST_FAT, ALL_LINES = 0x1000, 0x2000
SHOW = """
from peft_studio import Studio
studio = Studio(home={home!r})
studio.session.choose(panel="runs", model={model!r})
panel = studio.show()
panel
"""
# What the front end itself never makes inside a panel, and what markup would have to be to do anything.
ALIVE = """root => [...root.querySelectorAll('*')].flatMap(one => [
  ...(/^(script|iframe|object|embed|img|link|meta|base|form|math|template|video|audio|animate|marquee|frame)$/i.test(one.localName) ? [one.localName] : []),
  ...[...one.attributes].filter(at => /^on/i.test(at.name) || /^(srcdoc|action|formaction)$/i.test(at.name)
    || (/^(src|href|xlink:href|data|style)$/i.test(at.name) && /javascript:|attacker|data:/i.test(at.value))).map(at => at.name + '=' + at.value)])"""
VALUES = "root => [...root.querySelectorAll('input, textarea')].map(one => one.value)"
MISSING = "(root, texts) => { const all = root.textContent; return texts.filter(one => !all.includes(one)); }"
# One step on through a list that is drawn in part: remember what is there, and go on to where nothing has been seen yet.
GATHER = """(box, of) => { const seen = (window.__seen ??= {})[of] ??= new Set();
  for (const one of box.querySelectorAll(of)) seen.add(one.textContent);
  const end = box.scrollTop + box.clientHeight >= box.scrollHeight - 2;
  box.scrollTop = end ? 0 : box.scrollTop + box.clientHeight * 0.8; return [...seen]; }"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run named by each string, runs filled with them, and one that says them all."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    for number, text in enumerate(HOSTILE):
        write_hostile_run(home, number, [text])
    for number in range(FAT):
        write_hostile_run(home, FIRST_FAT + number, group(number))
    write_hostile_run(home, ALL_LINES, HOSTILE)
    return home


class Watched:
    """A notebook whose page is watched: what it asks for, and what runs in it."""

    def __init__(self, notebook: Notebook, address: str) -> None:
        self.notebook, self.page, self._address = notebook, notebook.page, address
        self.left: list[str] = []
        self.page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self._address, self._address.replace("http", "ws"), "data:", "blob:")):
            self.left.append(request.url)

    def kernel(self, code: str) -> None:
        """Run Python in the notebook's kernel, and wait until it has run."""
        reply = self.page.evaluate(
            "async code => (await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
            ".requestExecute({ code }).done).content",
            code,
        )
        assert reply["status"] == "ok", f"{reply['ename']}: {reply['evalue'][:500]}"

    def panel(self) -> Locator:
        """The step that the studio shows."""
        return self.page.locator(".jp-Notebook section.ps-studio section.ps")

    def wait_for_texts(self, root: Locator, texts: list[str]) -> None:
        """Wait until every text stands there as text, and nothing there is more than text."""
        missing: list[str] = texts
        for _ in range(200):
            missing = root.evaluate(MISSING, texts)
            if not missing:
                break
            self.page.wait_for_timeout(50)
        assert not missing, f"{len(missing)} of {len(texts)} are not shown, the first is {missing[0][:200]!r}"
        assert root.evaluate(ALIVE) == []

    def check(self) -> None:
        """No script has run and nothing has left."""
        assert self.page.evaluate("() => window.__pwned") is None
        assert (self.notebook.dialogs, self.notebook.errors, self.left) == ([], [], [])


@pytest.fixture(scope="module")
def watched(lab: Lab, home: Path, tiny_model: Path) -> Iterator[Watched]:
    """The studio in one notebook for all tests here."""
    notebook = lab.open([SHOW.format(home=str(home), model=str(tiny_model))], name="hostile.ipynb")
    found = Watched(notebook, notebook.page.url.split("/lab")[0])
    notebook.run(0)
    yield found
    found.check()
    notebook.close()


def group(number: int) -> list[str]:
    return HOSTILE[20 * number : 20 * number + 20]


def run_id(number: int) -> str:
    return f"r-20261122-203412-{number:06x}"


def test_names_of_runs(watched: Watched) -> None:
    """Every name stands in the list of runs, in full or cut; the list is filtered by one of them."""
    panel = watched.panel()
    grid = panel.locator(".ps-grid")
    expect(grid.locator("tbody th .ps-open").first).to_be_visible()
    names = {plain(text, limit=200) for text in HOSTILE}
    wait_for(lambda: names <= set(grid.evaluate(GATHER, "tbody th .ps-open")), "every name", timeout_s=60)
    assert panel.evaluate(ALIVE) == []
    panel.get_by_role("searchbox").fill("<ScRiPt>")
    expect(panel.get_by_text("of 526")).to_be_visible()


def test_lines_of_the_log(watched: Watched) -> None:
    """Every line is shown as text, by the Logs panel of a run that has said them all."""
    watched.kernel(f"studio.session.choose(panel='logs', run_id={run_id(ALL_LINES)!r})")
    log = watched.panel().get_by_role("log")
    expect(log.locator("li").first).to_be_visible()
    lines = {plain(text) for text in HOSTILE}
    wait_for(lambda: lines <= set(log.evaluate(GATHER, "li bdi")), "every line", timeout_s=60)
    assert watched.panel().evaluate(ALIVE) == []
    watched.panel().get_by_role("searchbox").fill("DROP TABLE")
    expect(log.locator("li").first).to_contain_text("DROP TABLE")


def test_runs_whose_every_word_is_hostile(watched: Watched) -> None:
    """Names, models, warnings, ways out, traces, files, samples and the log of twenty-five runs."""
    for number in range(FAT):
        texts = group(number)
        watched.kernel(f"studio.session.choose(panel='run', run_id={run_id(FIRST_FAT + number)!r})")
        panel = watched.panel()
        expect(panel.locator("h2").first).to_contain_text(plain(texts[0], limit=300)[:100])
        if number == 0:
            panel.get_by_role("button", name=re.compile(r"^\d+ more$")).click()
        watched.wait_for_texts(panel, [plain(text) for text in texts])  # the lines of the log, and the ways out
        watched.wait_for_texts(panel.locator(".ps-trace"), [plain(text[:300]) for text in texts[1:]])
        watched.wait_for_texts(panel.locator("dl.ps-sample"), [plain(texts[-1], limit=4000)])
        files = [plain(Path(f"checkpoints/{text}").name, limit=300) for text in texts]
        watched.wait_for_texts(panel.locator(".ps-sec").filter(has_text="kept on this machine"), files)
    watched.panel().get_by_role("button", name="Earlier sample").click()
    expect(watched.panel().get_by_role("heading", name="Sample at step 19")).to_be_visible()


def test_rows_columns_and_names_of_data(watched: Watched, tmp_path: Path) -> None:
    """Rows, findings, file names and columns; a row with half a character is refused in words."""
    names = [text for text in HOSTILE if "/" not in text and "\x00" not in text and len(text) < 120]
    path = tmp_path / f"{plain(names[30])}.jsonl"
    rows: list[Any] = [
        {"prompt": "\n".join(t[:400] for t in HOSTILE[at : at + 25]), "completion": "\n".join(t[:400] for t in HOSTILE[at + 25 : at + 50])}
        for at in range(0, 500, 50)
    ]  # fmt: skip
    rows += [{"prompt": half, "completion": half} for half in HALVES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    watched.kernel(f"studio.session.choose(panel='data'); _ = studio.data({str(path)!r})")
    panel = watched.panel()
    expect(panel.get_by_role("heading", name=plain(names[30]))).to_be_visible()
    row = panel.get_by_role("region", name="Row 0 as trained")
    expect(row).to_be_visible()
    watched.wait_for_texts(row, [plain(text) for text in HOSTILE[:2]])  # the rest of the row is past the context
    panel.get_by_text("Tokens", exact=True).click()
    expect(row).to_contain_text("<script>"[:4])
    panel.get_by_text("Source", exact=True).click()
    for number in range(10):
        row = panel.get_by_role("region", name=f"Row {number} as its source has it")
        shown = [json.dumps(text[:400], ensure_ascii=False)[1:-1] for text in HOSTILE[50 * number : 50 * number + 50]]
        watched.wait_for_texts(row, [plain(text, limit=20_000) for text in shown])
        panel.get_by_role("button", name="Next row").click()
    expect(panel.get_by_role("region", name="Row 10 as its source has it")).to_contain_text("half 0")

    for at in range(0, 500, 170):
        columns = {plain(text, limit=150): text[:150] for text in HOSTILE[at : at + 170]}
        odd = tmp_path / f"odd {at}.jsonl"
        odd.write_text(json.dumps(columns) + "\n", encoding="utf-8")
        watched.kernel(f"panel._feeds['data'].content.open({str(odd)!r})")
        shown = [name for name in columns if len(name) <= 150]
        watched.wait_for_texts(panel.get_by_label("Column for prompt").first, shown)


def test_prompts_and_answers(watched: Watched) -> None:
    """A conversation of twenty turns with every string in it, asked and answered."""
    watched.kernel("studio.session.choose(panel='chat')")
    panel = watched.panel()
    expect(panel.get_by_role("textbox", name="Prompt", exact=True)).to_be_visible()
    texts = [text[:1000] for text in HOSTILE]
    watched.kernel(
        "import json; from peft_studio.widgets._chat_turns import Answer, Turn\n"
        f"texts = json.loads({json.dumps(texts + HALVES * 5)!r})\n"
        "chat = panel._feeds['chat'].content\n"
        "for turn in range(20):\n"
        "    own = texts[25 * turn : 25 * turn + 25]\n"
        "    answers = [Answer(1000 + turn * 10 + at, 1, '', None, own[at], '', 'done', '\\n'.join(own[5 * at : 5 * at + 5])) for at in range(1, 5)]\n"
        "    chat._turns.append(Turn(100 + turn, '\\n'.join(own[:5]), own[0], chat._settings, answers))\n"
    )
    watched.wait_for_texts(panel, [plain(text, limit=8000) for text in texts])
    panel.get_by_role("textbox", name="Prompt", exact=True).fill(HOSTILE[21])
    expect(panel.get_by_role("textbox", name="Prompt", exact=True)).to_have_value(HOSTILE[21])


NUMBERS = ("epochs", "max_steps", "rank", "alpha", "learning_rate", "warmup_ratio", "weight_decay", "max_grad_norm", "batch_size",
           "max_length", "save_steps", "eval_steps", "sample_steps", "seed", "logging_steps", "processes")  # fmt: skip


def test_fields_and_what_is_refused(watched: Watched, tiny_model: Path, tmp_path: Path) -> None:
    """Tags, prompts and what is typed where a number belongs: shown as typed, refused in words, and the form goes on working."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n" * 9, encoding="utf-8")
    texts = [text[:1000] for text in HOSTILE]
    watched.kernel(
        f"import json; texts = json.loads({json.dumps(texts)!r})\n"
        f"_ = studio.spec(model={str(tiny_model)!r}, data={str(rows)!r}, name=texts[1], tags=tuple(texts), sample_prompts=tuple(texts), sample_steps=5)\n"
        "studio.session.choose(panel='train')"
    )
    panel = watched.panel()
    panel.get_by_role("radiogroup", name="Detail").get_by_text("Advanced").click()
    panel.get_by_role("button", name="Evaluation and samples").click()
    expect(panel.get_by_role("textbox", name="Sample prompts", exact=True)).to_have_value(re.compile("599 "))
    for at in range(0, 500, len(NUMBERS)):
        own = texts[at : at + len(NUMBERS)]
        watched.kernel(
            f"for field, text in zip({NUMBERS!r}, texts[{at}:]):\n    panel._feeds['train'].content.set_field(field, text)"
        )
        typed = [plain(text, limit=4000) for text in own]
        wait_for(
            lambda typed=typed: set(typed) <= set(panel.evaluate(VALUES)), "what was typed, in its fields", timeout_s=30
        )
        assert panel.evaluate(ALIVE) == []
    expect(panel.locator("[aria-invalid=true]")).to_have_count(len(NUMBERS))
    panel.get_by_role("textbox", name="Rank", exact=True).fill("8")
    panel.get_by_role("textbox", name="Rank", exact=True).press("Tab")
    expect(panel.get_by_role("button", name="Back to default, 16")).to_be_visible()


def test_pictures_and_terminals(watched: Watched, home: Path) -> None:
    """The pictures of saved notebooks in a page that would run scripts, their plain text, and what the commands print."""
    runs = [RunContent(FolderRun(home / "runs" / run_id(FIRST_FAT + number))) for number in range(FAT)]
    studio = Studio(home=home)
    lists = [RunsContent(studio), LogsContent(studio)]
    pictures = [one.snapshot_html() for one in (*runs, *lists)]
    for one in lists:
        one.close()
    page = watched.page.context.browser.new_page()  # type: ignore[union-attr]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content("<meta charset=utf-8>" + "".join(pictures))
    assert page.evaluate(MISSING_BODY, [plain(group(number)[0]) for number in range(FAT)]) == []
    assert page.evaluate(f"() => ({ALIVE})(document.body)") == []
    assert page.evaluate("() => window.__pwned") is None
    page.close()
    assert asked == []

    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        assert cli.main(["runs", "--home", str(home), "--limit", "600"]) == 0
        cli.main(["attach", run_id(FIRST_FAT), "--home", str(home)])
    for text in (printed.getvalue(), *map(repr, runs)):
        assert obeyed(text) == set()
    assert "<script>window.__pwned=1</script>" in printed.getvalue()


MISSING_BODY = f"texts => ({MISSING})(document.body, texts)"


def obeyed(text: str) -> set[str]:
    """Characters that a terminal would obey or that turn the direction of others."""
    return {
        c for c in text if (unicodedata.category(c) == "Cc" and c not in "\n\t") or unicodedata.bidirectional(c) in BIDI
    }


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
