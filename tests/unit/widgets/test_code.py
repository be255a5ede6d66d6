"""Show code: what each panel offers does the same in a fresh process, whichever home the panel shows."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.runs.folder import RunFolder
from peft_studio.widgets._code import opening, retry_code, show_code
from tests.cells import run_cell, run_fresh
from tests.conftest import end_processes_of
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]


def test_the_home_is_named_where_it_is_not_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared studio where it has the home, else one of this home; no character of a path is code."""
    odd = tmp_path / "a 'home'\u202e"
    monkeypatch.setenv("PEFT_STUDIO_HOME", str(tmp_path))
    assert opening(tmp_path, "quickstart") == "from peft_studio import quickstart, studio\n\n"
    assert run_cell(opening(odd))[0]["studio"].home == odd
    assert "\u202e" not in opening(odd)
    assert opening(odd, "quickstart").startswith("from peft_studio import Studio, quickstart\n\nstudio = Studio(")

    folder = RunFolder(tmp_path / "runs" / "r-20261122-203412-9f31ac")
    assert show_code(folder) == "from peft_studio import studio\n\nstudio.run('r-20261122-203412-9f31ac').show()"
    assert ast.parse(retry_code(folder, {"batch_size": 2}))


@pytest.fixture(scope="module")
def home(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a completed run on the tiny model, whose adapter is real."""
    pytest.importorskip("torch")
    from tests.unit.widgets.chat_home import write_completed_run

    home = tmp_path_factory.mktemp("home") / "its home"
    write_completed_run(home, tiny_model, name="first", seed=1)
    yield home
    end_processes_of(home)


@pytest.fixture
def there(home: Path, tiny_model: Path, tiny_rows: Path) -> Studio:
    """A studio on it, with a draft on rows of which two are left out."""
    studio = Studio(home=home)
    data = studio.data(str(tiny_rows), split=0.1, seed=3).leave_out([2, 5])
    studio.spec(
        model=str(tiny_model), data=data, method="lora", rank=4, max_steps=500, batch_size=2, max_length=64,
        precision="fp32",
    )  # fmt: skip
    return studio


def show_data(page: Browser) -> Any:
    page.wait(lambda: bool(page.sections.get("report")))
    return [2, 5], sorted({one["code"] for one in page.sections["findings"]})


def show_runs(page: Browser) -> Any:
    page.wait(lambda: bool(page.sections.get("page")))
    page.command("filter", text="first")
    return [row["id"] for row in page.sections["page"]["rows"]]


def show_run(page: Browser) -> Any:
    page.wait(lambda: bool(page.sections.get("head")))
    return page.sections["head"]["id"], page.sections["head"]["state"]


def show_logs(page: Browser) -> Any:
    page.wait(lambda: len(page.log) > 0)
    return [line["text"] for line in page.log]


# panel → what its page shows, and the same asked of a process that has run its code
SAME: dict[str, tuple[Callable[[Browser], Any], str]] = {
    "data": (
        show_data,
        "[list(studio.session.now.data.ref.left_out), sorted({one.code for one in value.findings})]",
    ),
    "runs": (show_runs, "list(value.id)"),
    "run": (show_run, "[value.content.sections()['head'][name] for name in ('id', 'state')]"),
    "logs": (show_logs, "[line.text for line in value]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("panel", SAME)
def test_code_shows_the_same(panel: str, there: Studio, open_browser: OpenBrowser, tmp_path: Path) -> None:
    """Run in a process whose own home is another, it gives what the panel shows."""
    look, probe = SAME[panel]
    page = open_browser(lambda: there.panel(panel))
    shown = look(page)
    _, found = run_fresh(page.sections["code"], probe, home=tmp_path)

    assert found == json.loads(json.dumps(shown))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_code_of_train_launches_the_same_run(there: Studio, open_browser: OpenBrowser, tmp_path: Path) -> None:
    """The run that it starts has the draft for its spec, in the home of the panel."""
    page = open_browser(lambda: there.panel("train"))
    page.deadline_s = 120.0  # its code comes with the first check, which imports the tokenizers
    page.wait(lambda: "studio.launch" in page.sections.get("code", ""))
    _, run_id = run_fresh(page.sections["code"], "value.id", home=tmp_path)
    there.run(run_id).stop()

    spec, draft = there.run(run_id).spec, there.session.now.draft
    assert draft is not None
    free = {"free_bytes": draft.basis.free_bytes}  # of memory, at the moment in which each was made
    assert spec.model_copy(update={"basis": spec.basis.model_copy(update=free)}) == draft


@pytest.mark.slow
def test_code_of_chat_asks_the_same(home: Path, tmp_path: Path) -> None:
    """The base and the adapter, asked with the same settings, answer the same."""
    from tests.unit.widgets.test_chat import opened

    with opened(Studio(home=home)) as page:
        page.ask("the capital of france is")
        answers = list(page.answers().values())
        code = page.sections["code"]
    printed, _ = run_fresh(code, "None", home=tmp_path)

    assert len(answers) == 2
    assert printed == "\n".join(answers).strip()
