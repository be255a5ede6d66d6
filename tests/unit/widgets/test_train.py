"""The Train panel, on a real session with the tiny model and real rows, with a page at the other end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.spec import RunSpec
from peft_studio.widgets._train_fields import FIELDS, lines_of, parse, text_of
from peft_studio.widgets.train import TrainContent
from tests.cells import run_cell
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]
BOOKKEEPING = {"version", "model", "data", "chosen", "basis"}


@pytest.fixture
def open_train(open_browser: OpenBrowser, studio: Studio) -> Callable[[], Browser]:
    """Show the panel of the studio."""
    return lambda: open_browser(lambda: studio.panel("train"))


@pytest.fixture
def train(open_train: Callable[[], Browser], make_spec: Callable[..., Any]) -> Browser:
    """The panel on a spec made by code, checked."""
    make_spec()
    browser = open_train()
    wait_for_state(browser, "ready")
    return browser


def wait_for_state(browser: Browser, state: str) -> None:
    """Wait until the preflight of what is shown has this verdict."""
    browser.wait(
        lambda: (
            browser.sections.get("preflight", {}).get("state") == state and not browser.sections["preflight"]["busy"]
        )
    )


def field(browser: Browser, name: str) -> dict[str, Any]:
    """A field as the page shows it."""
    found: dict[str, Any] = browser.sections["fields"][name]
    return found


def draft_of(studio: Studio) -> Any:
    """The session's draft."""
    return studio.session.now.draft


def without_free_memory(spec: Any) -> Any:
    """A spec without what other processes change from one look to the next: the memory that is free."""
    return spec.model_copy(update={"basis": spec.basis.model_copy(update={"free_bytes": None})})


def test_every_field_of_the_spec_is_in_the_form() -> None:
    """Nothing that decides a run is out of reach; bookkeeping is not shown."""
    assert set(FIELDS) == set(RunSpec.model_fields) - BOOKKEEPING


def test_what_a_control_shows_is_read_back(make_spec: Callable[..., Any]) -> None:
    """For every field: text → value gives the value that made the text."""
    commit = "0123456789abcdef" * 2 + "01234567"
    spec = make_spec(
        learning_rate=5e-5, tags=("a", "b"), sample_prompts=("Hello, you", "Bye"), sample_steps=2, eval_steps=None,
        target_modules=("q_proj", "v_proj"), remote_code={"repo": "org/name", "commit": commit}, warmup_ratio=0.07, dropout=0.1,
    )  # fmt: skip
    read = {
        name: parse(name, lines_of(value) if name == "sample_prompts" else text_of(value))
        for name in FIELDS
        if (value := getattr(spec, name)) is not Ellipsis
    }
    assert spec.replace(**read).model_dump(exclude={"chosen"}) == spec.model_dump(exclude={"chosen"})


def test_a_change_in_the_page_is_the_sessions_draft(train: Browser, studio: Studio) -> None:
    """The field, what follows from it, its default and the count; then back."""
    train.command("reset", field="rank")
    before = draft_of(studio)
    assert train.command("set_field", field="rank", value="32")["ok"]
    draft = draft_of(studio)
    assert (draft.rank, draft.alpha) == (32, 64)
    assert field(train, "rank")["changed"]
    assert field(train, "rank")["default"] == "16"
    assert "Alpha follows: 32 → 64." in field(train, "rank")["effect"]["lines"]
    assert "rank" in train.sections["changed"]
    wait_for_state(train, "ready")

    train.command("reset", field="rank")
    assert draft_of(studio) == before
    train.command("set_field", field="rank", value="16")
    assert draft_of(studio) == before  # set to its default is not set


def test_a_change_by_code_is_shown(train: Browser, make_spec: Callable[..., Any]) -> None:
    """``studio.spec`` changes the draft; the panel follows."""
    make_spec(rank=8, name="from a cell")
    train.wait(lambda: field(train, "rank")["text"] == "8")
    assert field(train, "name")["text"] == "from a cell"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rank", "0", "greater than or equal to 1"),
        ("rank", "many", "valid integer"),
        ("batch_size", "x", "valid integer"),
        ("learning_rate", "2", "less than 1"),
        ("epochs", "nan", "finite"),
        ("max_steps", "-3", "greater than or equal to 1"),
        ("remote_code", "org/name", "match pattern"),
    ],
)
def test_an_invalid_value_is_shown_below_its_field(
    train: Browser, studio: Studio, name: str, value: str, said: str
) -> None:
    """What was typed stays with its error, the draft stays valid; a right value ends it."""
    before = draft_of(studio)
    assert train.command("set_field", field=name, value=value)["ok"]
    assert "cannot be used" in train.command("launch")["problem"]["message"]
    assert said in field(train, name)["error"]["message"]
    assert field(train, name)["text"] == value
    assert draft_of(studio) is before

    train.command("set_field", field=name, value=text_of(getattr(before, name)))
    assert field(train, name)["error"] is None


def test_a_rule_between_fields_is_shown_where_it_was_broken(train: Browser) -> None:
    """QLoRA without quantization is refused at the quantization."""
    train.command("set_field", field="method", value="qlora")
    assert field(train, "quantization")["text"] == "nf4"
    train.command("set_field", field="quantization", value="")
    assert "needs a quantization" in field(train, "quantization")["error"]["message"]


def test_code_ends_an_error(train: Browser, make_spec: Callable[..., Any]) -> None:
    """A new draft from elsewhere has nothing to do with what was typed here."""
    train.command("set_field", field="rank", value="0")
    make_spec(rank=8)
    train.wait(lambda: field(train, "rank")["text"] == "8" and field(train, "rank")["error"] is None)


def test_alpha_left_behind_has_its_fix(train: Browser, studio: Studio) -> None:
    """With alpha set, a larger rank lowers the scale; the effect says so and offers the alpha that keeps it."""
    train.command("set_field", field="alpha", value="16")
    train.command("set_field", field="rank", value="8")
    effect = field(train, "rank")["effect"]
    assert "the scale rises from 1 to 2" in effect["lines"][0]
    train.command("apply", changes=effect["fix"]["changes"])
    assert draft_of(studio).alpha == 8
    assert field(train, "alpha")["hint"] == "scale 1"


def test_a_problem_that_blocks_has_its_button(train: Browser, studio: Studio) -> None:
    """Not ready, with the fix as a change of fields; applied, it is ready; and a launch before that starts nothing."""
    train.command("set_field", field="optimizer", value="adamw_8bit")
    if draft_of(studio).basis.device == "cuda":
        pytest.skip("8-bit optimizers run here")
    wait_for_state(train, "not_ready")
    problem = train.sections["preflight"]["problems"][0]
    assert problem["severity"] == "blocking"
    assert problem["button"] == "Set optimizer to adamw_torch_fused"
    refused = train.command("launch")
    assert refused["problem"]["message"] == "The run was not started."
    assert studio.runs().rows == []

    train.command("apply", changes=problem["changes"])
    wait_for_state(train, "ready")


def test_nothing_chosen_says_what_is_missing(
    open_train: Callable[[], Browser], studio: Studio, tiny_rows: Path
) -> None:
    """First model and data, then the model alone; no launch."""
    browser = open_train()
    browser.wait(lambda: browser.sections.get("missing") == ["model", "data"])
    assert "smollm2-135m" in browser.sections["model"]["known"]
    studio.data(str(tiny_rows))
    browser.wait(lambda: browser.sections["missing"] == ["model"])
    assert browser.sections["data"]["rows"] == 44
    assert browser.command("launch")["problem"]["message"] == "There is no run to start yet."
    browser.command("open_step", panel="data")
    assert studio.session.now.panel == "data"


def test_fields_follow_from_model_and_data(
    open_train: Callable[[], Browser], studio: Studio, tiny_model: Path, tiny_rows: Path
) -> None:
    """A model chosen in the page gives the draft that ``studio.spec`` would; other data keeps what was set."""
    data = studio.data(str(tiny_rows))
    browser = open_train()
    browser.command("choose_model", model=f" {tiny_model} ")
    browser.wait(lambda: bool(browser.sections.get("fields")))
    mine = draft_of(studio)
    assert mine == Studio(home=studio.home).spec(model=str(tiny_model), data=data)

    browser.command("set_field", field="rank", value="8")
    studio.data(str(tiny_rows), split=0.25)
    browser.wait(lambda: draft_of(studio).data.split == 0.25)
    assert draft_of(studio).rank == 8
    assert draft_of(studio).basis.train_rows == 33


def test_a_model_that_is_not_there_leaves_the_draft(train: Browser, studio: Studio, tmp_path: Path) -> None:
    """The reason is shown; the last draft stays and does not launch; the right name mends it."""
    before = draft_of(studio)
    train.command("choose_model", model=str(tmp_path / "nowhere"))
    train.wait(lambda: bool(train.sections["deriving"]["problem"]))
    assert "nowhere" in train.sections["deriving"]["problem"]["message"]
    assert draft_of(studio) is before
    assert not train.command("launch")["ok"]
    train.command("choose_model", model=before.model)
    train.wait(lambda: not train.sections["deriving"]["problem"])
    wait_for_state(train, "ready")


def run_code(code: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the panel's code as a fresh kernel would, up to the launch."""
    launched: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(Studio, "launch", lambda _, spec: launched.append(spec))
        names, _ = run_cell(code)
    return {**names, "launched": launched}


def test_the_code_makes_the_same_spec(
    train: Browser, studio: Studio, make_spec: Callable[..., Any], tiny_rows: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In another studio it makes an equal spec and launches it, with mapped columns, a split and rows left out."""
    renamed = tmp_path / "renamed.jsonl"
    rows = [json.loads(line) for line in tiny_rows.read_text().splitlines()]
    renamed.write_text("".join(json.dumps({"ask": r["prompt"], "say": r["completion"]}) + "\n" for r in rows))
    data = studio.data(str(renamed), columns={"prompt": "ask", "completion": "say"}, split=0.1, seed=3).leave_out(
        [2, 5]
    )
    for given in (data, studio.data(str(tiny_rows))):
        make_spec(data=given, tags=("a'b",), sample_prompts=('"Hi"\n',), sample_steps=3)
        train.command("set_field", field="dropout", value="0.1")
        ran = run_code(train.sections["code"], monkeypatch)
        assert ran["spec"] == draft_of(studio)
        assert ran["launched"] == [ran["spec"]]


def test_export_and_import(train: Browser, studio: Studio, tmp_path: Path, make_spec: Callable[..., Any]) -> None:
    """What is written is read back as the draft, data opened; an existing file is asked about; what is no spec is refused."""
    train.command("set_field", field="rank", value="8")
    before, path = draft_of(studio), tmp_path / "my spec.json"
    assert train.command("export_file", path=str(path))["value"] == {"exists": False, "path": str(path)}
    assert train.command("export_file", path=str(path))["value"]["exists"]
    assert train.command("export_file", path=str(path), replace=True)["value"]["exists"] is False
    assert "cannot be written" in train.command("export_file", path=str(tmp_path / "no" / "x"))["problem"]["message"]
    make_spec(rank=2)

    assert train.command("import_file", path=str(path))["ok"]
    assert without_free_memory(draft_of(studio)) == without_free_memory(before)
    assert studio.session.now.data.ref == before.data
    assert train.sections["notes"][0].startswith("Imported")
    wait_for_state(train, "ready")
    path.write_text("{}")
    assert not train.command("import_file", path=str(path))["ok"]
    assert not train.command("import_file", path=str(tmp_path))["ok"]
    assert without_free_memory(draft_of(studio)) == without_free_memory(before)


def test_import_without_its_data(train: Browser, studio: Studio, tmp_path: Path, tiny_rows: Path) -> None:
    """The fields are there, the data is asked for; given, the draft is of that data with the same fields set."""
    spec = draft_of(studio).replace(rank=8)
    lost = spec.replace(data=spec.data.model_copy(update={"path": str(tmp_path / "gone.jsonl")}))
    train.command("import_file", path=str(studio.export(lost, tmp_path / "lost.json")))
    assert train.sections["missing"] == ["data"]
    assert any("not on this machine" in note for note in train.sections["notes"])
    studio.data(str(tiny_rows))
    wait_for_state(train, "ready")
    assert draft_of(studio).rank == 8
    assert draft_of(studio).data == spec.data


def test_launch_starts_the_draft_and_shows_it(train: Browser, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is of the draft, and the session shows it."""
    started: list[str] = []

    class Compute:
        """Takes the job and starts nothing: real launches are in the browser's tests."""

        def submit_job(self, folder: Any) -> None:
            started.append(folder.id)

    monkeypatch.setattr(studio, "_compute", Compute)
    reply = train.command("launch")
    assert reply["value"]["run_id"] == started[0]
    assert (studio.session.now.panel, studio.session.now.run_id) == ("run", started[0])
    assert studio.run(started[0]).spec.rank == draft_of(studio).rank


def test_the_saved_picture(train: Browser, studio: Studio, make_spec: Callable[..., Any]) -> None:
    """Model, data, method, what was changed and the verdict, everything escaped; the text is the same every time."""
    make_spec(name="<script>alert(1)</script>", rank=8)
    content = TrainContent(studio)
    html = content.snapshot_html()
    for words in ("orders.jsonl", "LoRA", "rank", "&lt;script&gt;", "44 rows"):
        assert words in html
    assert "<script>" not in html
    assert repr(content) == "TrainPanel()"
    studio.session.choose(model=None, data=None, draft=None)
    assert "not chosen" in content.snapshot_html()


def test_hostile_names_are_only_text(train: Browser, make_spec: Callable[..., Any]) -> None:
    """Escapes and direction overrides are gone from what the page is sent, and what is left is text."""
    make_spec(name="\u202e\x1b[31mred<img src=x>", sample_prompts=("\u202eabc",), sample_steps=2)
    train.wait(lambda: field(train, "name")["text"] == "red<img src=x>")
    assert field(train, "sample_prompts")["text"] == "abc"
    assert "\u202e" not in json.dumps(train.sections, ensure_ascii=False)


def test_what_it_will_need_follows_the_draft(train: Browser, studio: Studio) -> None:
    """Memory with parts that add up, time, nothing to pay; more rows at once need more; what cannot fit is Not ready, and its fix works."""
    train.wait(lambda: train.sections["quote"]["state"] == "ready" and train.sections["quote"]["duration"])
    before = train.sections["quote"]
    assert before["fit"] == "ok"
    assert sum(amount for _, amount in before["memory"]["parts"]) == pytest.approx(before["memory"]["value"])
    assert before["cost"] == "no charge on this machine"

    train.command("apply", changes={"batch_size": 100_000, "gradient_accumulation_steps": 1})
    train.wait(lambda: train.sections["quote"]["fit"] == "wont-fit")
    assert train.sections["quote"]["memory"]["value"] > before["memory"]["value"]
    wait_for_state(train, "not_ready")
    (problem,) = [one for one in train.sections["preflight"]["problems"] if one["code"] == "memory_short"]
    train.command("apply", changes=problem["changes"])
    train.wait(lambda: train.sections["quote"]["fit"] == "ok")
    wait_for_state(train, "ready")
    assert draft_of(studio).effective_batch == 100_000


@pytest.mark.slow
def test_three_rates_are_tried(train: Browser, studio: Studio) -> None:
    """Three real runs from one click; when they have ended there is a verdict, and putting it away leaves the runs."""
    train.deadline_s = 240.0
    assert train.sections["sweep"]["plan"] == {"rates": ["1e-3", "3e-3", "9e-3"], "steps": 6}
    train.command("try_rates")
    train.wait(lambda: train.sections["sweep"]["shown"] and len(train.sections["sweep"]["shown"]["rows"]) == 3)
    train.wait(lambda: train.sections["sweep"]["shown"]["ended"])
    shown = train.sections["sweep"]["shown"]
    assert [row["state"] for row in shown["rows"]] == ["completed"] * 3
    assert shown["verdict"]
    if shown["changes"]:
        train.command("apply", changes=shown["changes"])
        assert draft_of(studio).learning_rate == shown["changes"]["learning_rate"]
    train.command("dismiss_rates")
    assert train.sections["sweep"]["shown"] is None
    assert len(studio.runs()) == 3
