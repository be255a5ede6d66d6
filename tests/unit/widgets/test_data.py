"""The Data panel, on real files, with a page at the other end. The model is a folder with a tokenizer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.widgets import _data_files, open_panel
from tests.cells import run_cell
from tests.tiny import build_rows, write_rows, write_tokenizer
from tests.unit.widgets.browser import Browser

HOSTILE = "<script>window.stolen=1</script> \x1b[31mred\x1b[0m \u202egnp.exe"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A model's folder as far as encoding needs it: the tiny tokenizer and its template."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_tokenizer(folder)
    return folder


@pytest.fixture
def studio(tmp_path: Path, tokenizer: Path) -> Studio:
    """A studio whose session has chosen the tokenizer's folder as its model."""
    studio = Studio(home=tmp_path / "my home")
    studio.session.choose(model=str(tokenizer))
    return studio


@pytest.fixture
def page(open_browser: Callable[..., Browser], studio: Studio) -> Browser:
    """The page of the panel."""
    return open_browser(lambda: open_panel(studio, "data"))


def write_lines(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def open_file(page: Browser, path: Path, **options: Any) -> dict[str, Any]:
    """Open a file and wait until it is checked and its row is shown with tokens."""
    assert page.command("open", source=str(path), **options)["ok"]
    page.wait(lambda: checked(page, path))
    return page.sections


def checked(page: Browser, path: Path) -> bool:
    sections = page.sections
    return (
        bool(sections.get("data"))
        and sections["facts"]["path"] == str(path)
        and sections["opening"] is None
        and bool(sections["report"])
        and bool(sections["row"])
        and sections["row"].get("with_tokens") is True
        and bool(sections["columns"])
    )


def codes(page: Browser) -> set[str]:
    return {finding["code"] for finding in page.sections["findings"]}


def test_nothing_chosen(page: Browser) -> None:
    """Without data there is none to show, and asking for a row says so."""
    page.wait(lambda: "data" in page.sections)

    assert page.sections["data"] is None
    assert page.command("go_row", number=3)["problem"]["message"] == "No data is chosen."
    assert repr(page.panel) == "DataPanel()"


def test_a_file_by_its_path(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """A usable file: verdict, facts, lengths and shares as the core's report has them, and it is the session's data."""
    path = write_rows(tmp_path / "orders.jsonl", 40)
    sections = open_file(page, path)
    data = studio.session.now.data
    assert data is not None
    report = data.report(studio.session.now.model)

    assert sections["data"]["title"] == "orders.jsonl"
    assert sections["data"]["verdict"] == {"hue": "ok", "words": "Usable"}
    assert (sections["facts"]["rows"], sections["facts"]["bytes"]) == (40, path.stat().st_size)
    assert (sections["facts"]["format"], sections["facts"]["confidence"]) == ("prompt-completion", 0.95)
    assert sections["report"]["lengths"]["max"] == report.lengths.max
    assert sum(sections["report"]["shares"].values()) == pytest.approx(1)
    assert sections["report"]["shares"]["trained"] == pytest.approx(report.learnt_share)
    assert repr(page.panel) == "DataPanel('orders.jsonl')"


MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
FILES = {
    "messages.jsonl": ("messages", [{"messages": MESSAGES}]),
    "tools.jsonl": ("tools", [{"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": "f"}}]}]),
    "sharegpt.json": ("sharegpt", [{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}]),
    "alpaca.jsonl": ("alpaca", [{"instruction": "i", "input": "", "output": "o"}]),
    "pairs.jsonl": ("prompt-completion", [{"question": "q", "answer": "a"}]),
    "text.jsonl": ("text", [{"text": "a text"}]),
    "preference.jsonl": ("preference", [{"prompt": "p", "chosen": "good", "rejected": "bad"}]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_format(page: Browser, tmp_path: Path, name: str) -> None:
    """Each format is recognised, mapped and shown as tokens; preference pairs are not usable yet."""
    format_name, rows = FILES[name]
    path = tmp_path / name
    path.write_text(json.dumps(rows) if path.suffix == ".json" else json.dumps(rows[0]) + "\n")
    sections = open_file(page, path)

    assert sections["facts"]["format"] == format_name
    assert set(sections["formats"][format_name]["needs"]) <= set(sections["facts"]["columns"])
    assert any("t" in marks for _, marks, _ in sections["row"]["pieces"])
    assert ("blocking" in sections["data"]["verdict"]["words"]) == (format_name == "preference")


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "parquet"])
def test_other_files(page: Browser, tmp_path: Path, ending: str) -> None:
    """Tables and plain text are read too."""
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(build_rows(5)), path)
    elif ending == "txt":
        path.write_text("One line.\n\nAnother line.\n")
    else:
        mark = "," if ending == "csv" else "\t"
        path.write_text(f"prompt{mark}completion\nhello{mark}world\nhi{mark}there\n")

    assert open_file(page, path)["data"]["verdict"]["hue"] in ("ok", "warn")


def test_leaving_out_settles_a_finding_and_can_be_taken_back(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """A fix changes the session's data and the code, never the file; what was left out can be put back."""
    rows: list[Any] = [*build_rows(4), {"prompt": "only"}, {"prompt": "", "completion": "x"}]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    before = path.read_bytes()
    sections = open_file(page, path)
    assert sections["data"]["verdict"] == {"hue": "error", "words": "Not usable, 1 blocking"}
    (misfit,) = [one for one in sections["findings"] if one["code"] == "row-misfit"]
    assert (misfit["rows"], misfit["action"]) == ([4], "Leave out 1")

    assert page.command("fix", code="row-misfit")["ok"]
    page.wait(lambda: page.sections["facts"]["left_out"] == 1 and bool(page.sections["report"]))
    data = studio.session.now.data
    assert data is not None
    assert data.ref.left_out == (4,)
    assert page.sections["data"]["verdict"]["words"].startswith("Usable, ")
    assert "row-misfit" not in codes(page)
    assert "data = data.leave_out([4])" in page.sections["code"]
    assert path.read_bytes() == before

    page.command("put_back")
    page.wait(lambda: page.sections["facts"]["left_out"] == 0 and bool(page.sections["report"]))
    assert "row-misfit" in codes(page)


def test_another_split_keeps_what_was_left_out(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """Reading the same file again with other options does not bring back rows."""
    path = write_rows(tmp_path / "orders.jsonl", 20)
    open_file(page, path)
    assert studio.session.now.data
    studio.session.choose(data=studio.session.now.data.leave_out([3, 4, 5, 9]))
    page.wait(lambda: page.sections["facts"]["left_out"] == 4)
    page.command("open", split=0.25, seed=7)
    page.wait(lambda: page.sections["facts"]["split"] == 0.25 and page.sections["facts"]["left_out"] == 4)

    assert page.sections["facts"]["held_out_rows"] > 0
    assert "split=0.25, seed=7)\ndata = data.leave_out([*range(3, 6), 9])" in page.sections["code"]


def test_a_longer_cut_settles_cut_rows(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """A length typed here counts; the report's fix raises it; without a draft, use puts it into one."""
    open_file(page, write_rows(tmp_path / "orders.jsonl", 20))
    page.command("set_max_length", tokens=30)
    page.wait(lambda: bool(page.sections["report"]) and page.sections["report"]["max_length"] == 30)
    (cut,) = [one for one in page.sections["findings"] if one["code"] == "cut"]
    longest = page.sections["report"]["lengths"]["max"]
    assert cut["action"] == f"Use {longest}"
    page.wait(lambda: page.sections["row"]["cut"] > 0)
    assert any("c" in marks for _, marks, _ in page.sections["row"]["pieces"])

    page.command("fix", code="cut")
    page.wait(lambda: bool(page.sections["report"]) and page.sections["report"]["max_length"] == longest)
    assert "cut" not in codes(page)
    assert f"max_length={longest}" in page.sections["code"]


def test_a_draft_keeps_the_length(page: Browser, studio: Studio, tiny_model: Path, tmp_path: Path) -> None:
    """With a draft of a run the fix goes into it, and use makes one when there is none."""
    open_file(page, write_rows(tmp_path / "orders.jsonl", 20))
    page.command("set_model", model=str(tiny_model))
    page.wait(lambda: studio.session.now.model == str(tiny_model))
    page.command("set_max_length", tokens=64)
    assert page.command("use")["ok"]
    draft = studio.session.now.draft
    assert draft is not None
    assert draft.max_length == 64
    page.command("set_max_length", tokens=96)

    assert studio.session.now.draft is not None
    assert studio.session.now.draft.max_length == 96
    page.wait(lambda: page.sections["data"]["used"] is True)


def test_columns_that_nobody_recognises_can_be_mapped(page: Browser, tmp_path: Path) -> None:
    """The failure names the columns with an example each; mapped by hand the file opens, and code says how."""
    path = tmp_path / "odd.csv"
    path.write_text("alpha,beta,gamma\none,two,\nthree,four,five\n")
    page.command("open", source=str(path))
    page.wait(lambda: bool(page.sections.get("failed")))
    failed = page.sections["failed"]
    assert failed["source"] == str(path)
    assert [(one["name"], one["example"], one["filled"]) for one in failed["columns"]] == [
        ("alpha", "one", 1.0),
        ("beta", "two", 1.0),
        ("gamma", "five", 0.5),
    ]

    mapping = {"prompt": "alpha", "completion": "beta"}
    open_file(page, path, columns=mapping, format="prompt-completion")
    assert page.sections["failed"] is None
    assert page.sections["facts"]["given"] is True
    assert f"columns={mapping!r}, format='prompt-completion'" in page.sections["code"]


def test_a_failure_keeps_what_was_chosen(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """The reason and what to do are shown, until they are dismissed or something opens; the data stays."""
    open_file(page, write_rows(tmp_path / "orders.jsonl", 8))
    before = studio.session.now.data
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": \n')
    page.command("open", source=str(broken))
    page.wait(lambda: bool(page.sections["failed"]))

    assert "broken.jsonl:1" in page.sections["failed"]["message"]
    assert page.sections["failed"]["hint"]
    assert studio.session.now.data is before
    page.command("dismiss")
    page.wait(lambda: page.sections["failed"] is None)
    assert page.command("open", source="bad\x00name")["problem"]["hint"]


def test_it_follows_code(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """Data that a cell opens is shown, and what was said of a file that could not be opened goes; so is a model that it chooses."""
    page.command("open", source=str(tmp_path / "not there.jsonl"))
    page.wait(lambda: bool(page.sections["failed"]))
    path = write_rows(tmp_path / "mine.jsonl", 6)
    studio.data(path, split=0.5)
    page.wait(lambda: checked(page, path))

    assert page.sections["facts"]["split"] == 0.5
    assert page.sections["failed"] is None
    studio.session.choose(model=str(tmp_path / "nowhere"))
    page.wait(lambda: bool(page.sections["model"]["problem"]))
    assert page.sections["data"]["verdict"]["words"] == "Usable as far as checked"
    assert page.sections["report"]["lengths"] is None
    page.wait(lambda: page.sections["row"]["with_tokens"] is False)
    assert "".join(text for text, _, _ in page.sections["row"]["pieces"]).startswith("user: Please send")


def test_a_model_that_is_not_there_is_not_chosen(
    page: Browser, studio: Studio, tokenizer: Path, tmp_path: Path
) -> None:
    """The session has a model named here only once its tokenizer is there."""
    open_file(page, write_rows(tmp_path / "orders.jsonl", 6))
    page.command("set_model", model=str(tmp_path / "nowhere"))
    page.wait(lambda: bool(page.sections["model"]["problem"]))

    assert studio.session.now.model == str(tokenizer)


def test_hostile_rows_are_cleaned(page: Browser, tmp_path: Path) -> None:
    """Escapes and direction overrides are gone, markup is left as the text it is, and a line of a megabyte is short."""
    rows = [{"prompt": HOSTILE, "completion": HOSTILE}, {"prompt": "x" * 1_000_000, "completion": "y"}]
    open_file(page, write_lines(tmp_path / "hostile.jsonl", rows))
    first = "".join(text for text, _, _ in page.sections["row"]["pieces"])
    assert "<script>window.stolen=1</script>" in first
    assert not {"\x1b", "\u202e"} & set(json.dumps(page.sections, ensure_ascii=False))

    page.command("go_row", number=1)
    page.wait(lambda: page.sections["row"]["number"] == 1)
    assert page.sections["row"]["skipped"] > 100_000
    assert len(json.dumps(page.sections)) < 300_000


def test_rows_past_the_ends_are_the_ends(page: Browser, tmp_path: Path) -> None:
    """Any number leads to a row; a broken row says what is wrong with it."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\nnot json\n')
    open_file(page, path)
    page.command("go_row", number=99)
    page.wait(lambda: page.sections["row"]["number"] == 1)

    assert "rows.jsonl:2" in page.sections["row"]["problem"]
    page.command("go_row", number=-5)
    page.wait(lambda: page.sections["row"]["number"] == 0)


def test_folders_list_data_files_only(page: Browser, tmp_path: Path) -> None:
    """Names and sizes of data files and folders; hidden files and others are not named."""
    folder = tmp_path / "shelf"
    (folder / "inner").mkdir(parents=True)
    for name in ("b.csv", "A.jsonl", "secret.pem", ".hidden.csv", "bad\u202ename.csv"):
        (folder / name).write_text("12345")
    (folder / "gone.csv").symlink_to(folder / "nowhere")  # one broken link must not hide the rest
    listing = page.command("browse", folder=str(folder))["value"]

    assert [(one["name"], one["bytes"], one["path"] is None) for one in listing["entries"]] == [
        ("inner", None, False),
        ("A.jsonl", 5, False),
        ("b.csv", 5, False),
        ("badname.csv", 5, True),
    ]
    assert listing["parent"] == str(tmp_path)
    assert page.command("browse", folder=str(tmp_path / "none"))["problem"]["hint"]


def send(page: Browser, name: str, content: bytes, *, piece: int = 500) -> dict[str, Any]:
    """Send a file as the page does."""
    token = page.command("upload_begin", file=name, size=len(content))["value"]
    for at in range(0, len(content), piece):
        part = base64.b64encode(content[at : at + piece]).decode()
        reply = page.command("upload_piece", token=token, at=at, data=part)
        if not reply["ok"]:
            return reply
    return page.command("upload_end", token=token)


def test_a_dropped_file_is_kept_and_opened(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """Its pieces come together under its digest and a safe name, readable by nobody else's path."""
    content = write_rows(tmp_path / "rows.jsonl", 30).read_bytes()
    assert send(page, "../../my <rows>.JSONL", content)["ok"]
    page.wait(lambda: bool(page.sections["data"]))
    (kept,) = (studio.home / "data" / "uploads").iterdir()

    assert kept.read_bytes() == content
    assert kept.name.endswith("-my_rows.jsonl")
    assert page.sections["data"]["title"] == "my_rows.jsonl"


def test_files_that_cannot_be_dropped(page: Browser, studio: Studio) -> None:
    """Too large, no data file, damaged, out of order or not whole: each says why, and nothing is left."""
    too_large = page.command("upload_begin", file="big.csv", size=_data_files.MOST_UPLOAD_BYTES + 1)["problem"]
    assert "at most 200 MB" in too_large["message"]
    assert "no data file" in page.command("upload_begin", file="run.exe", size=3)["problem"]["message"]
    token = page.command("upload_begin", file="a.csv", size=9)["value"]
    assert not page.command("upload_piece", token=token, at=0, data="not base64!")["ok"]
    assert not page.command("upload_piece", token=token, at=4, data="aGVsbG8=")["ok"]
    assert not page.command("upload_end", token=token)["ok"]
    assert not page.command("upload_end", token="other")["ok"]

    assert list((studio.home / "data" / "uploads").iterdir()) == []


def test_the_example(page: Browser) -> None:
    """The quickstart's orders, and code that names them without a path of this machine."""
    page.command("example")
    page.wait(lambda: bool(page.sections.get("data")) and page.sections["facts"]["rows"] == 400)

    code = page.sections["code"]
    assert code.startswith("from peft_studio import Studio, quickstart\n")
    assert "\ndata = studio.data(quickstart.data_path())\n" in code


def test_the_code_opens_the_same(page: Browser, studio: Studio, tmp_path: Path) -> None:
    """Run, it gives data with the same pointer."""
    path = write_rows(tmp_path / "orders.jsonl", 12)
    open_file(page, path, columns={"text": "prompt"}, format="text", split=0.25, seed=3)
    page.sections.clear()
    assert studio.session.now.data
    studio.session.choose(data=studio.session.now.data.leave_out([1, 2, 3, 7]))
    wanted = studio.session.now.data.ref
    page.wait(lambda: "leave_out" in page.sections.get("code", ""))
    names, _ = run_cell(page.sections["code"])

    assert names["studio"].session.now.data.ref == wanted


def test_the_saved_picture(page: Browser, tmp_path: Path) -> None:
    """Verdict, facts, findings and lengths as static HTML in which nothing of the data is markup."""
    rows = [*build_rows(3), {"prompt": "<b>x</b>"}]
    open_file(page, write_lines(tmp_path / "a<i>b.jsonl", rows))
    html = page.panel._repr_mimebundle_()["text/html"]

    assert "Not usable, 1 blocking · a&lt;i&gt;b.jsonl" in html
    assert "Rows that do not fit the format: 1" in html
    assert "<svg" in html
    assert "<i>" not in html
    assert "<script" not in html
