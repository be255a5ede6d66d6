"""The Chat panel with a real chat process over a tiny model, two runs' adapters, and a page at the other end."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comm
import pytest

torch = pytest.importorskip("torch")

from peft_studio import Studio  # noqa: E402  after importorskip
from peft_studio.core.chat import Chat  # noqa: E402
from peft_studio.widgets._panel import Panel  # noqa: E402
from peft_studio.widgets.chat import ChatContent  # noqa: E402
from tests.unit.runner.trainer.tiny_model import save_adapter, save_tiny_model  # noqa: E402
from tests.unit.widgets.browser import Browser, PageComm  # noqa: E402
from tests.unit.widgets.chat_home import write_completed_run  # noqa: E402

PROMPT = "the capital of france is"


class ChatPage(Browser):
    """A page that also keeps the answers' texts, counted as a browser counts."""

    deadline_s = 120.0  # a process that imports torch on a busy machine

    def __init__(self, panel: Any) -> None:
        self.texts: dict[int, str] = {}
        super().__init__(panel)

    def _update(self, update: dict[str, Any], buffers: list[bytes]) -> None:
        super()._update(update, buffers)
        for number, at, text in update["streams"].get("texts", []):
            before = self.texts.get(number, "").encode("utf-16-le")[: 2 * at].decode("utf-16-le")
            self.texts[number] = before + text

    def set_option(self, option: str, value: object) -> None:
        """Change a setting."""
        assert self.panel.content.set_option(option, value) is None

    def ask(self, prompt: str = PROMPT) -> dict[str, Any]:
        """Send a prompt and wait for the end; gives the turn."""
        reply = self.command("send", prompt=prompt)
        assert reply["ok"], reply["problem"]
        self.wait(lambda: self.sections["busy"] is None and self.last["number"] == reply["value"])
        return self.last

    @property
    def last(self) -> dict[str, Any]:
        """The last turn."""
        turn: dict[str, Any] = self.sections["turns"][-1]
        return turn

    def answers(self) -> dict[str, str]:
        """The last turn's texts by title."""
        return {answer["title"]: self.texts[answer["number"]] for answer in self.last["answers"]}

    def tick(self, *titles: str) -> None:
        """Ask exactly these."""
        for slot in self.sections["setup"]["slots"]:
            self.command("ask_slot", number=slot["number"], on=slot["title"] in titles)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def home(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two completed runs on the tiny model."""
    home = tmp_path_factory.mktemp("home")
    write_completed_run(home, tiny, name="first", seed=1, number=1)
    write_completed_run(home, tiny, name="second", seed=2, number=2)
    return home


@contextmanager
def opened(studio: Studio) -> Iterator[ChatPage]:
    """A page with the Chat panel of a studio, with short answers. When it is closed nothing is left behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comm, "create_comm", lambda **given: PageComm(**given))
        page = ChatPage(Panel(ChatContent(studio)))
        page.wait(lambda: "setup" in page.sections)
        page.set_option("max_new_tokens", 12)
        try:
            yield page
        finally:
            chat = page.panel.content._line._chat
            page.panel.close()
            assert chat is None or chat.closed


@pytest.fixture(scope="module")
def shared(home: Path) -> Iterator[ChatPage]:
    """One panel whose process loads once for all tests that leave it open: that takes longest here."""
    with opened(Studio(home=home)) as page:
        page.tick("Base model", "second")
        page.ask()
        yield page


@pytest.fixture
def page(shared: ChatPage) -> ChatPage:
    """The panel with base and one adapter ticked and an empty conversation."""
    shared.set_option("max_new_tokens", 12)
    shared.tick("Base model", "second")
    shared.command("clear")
    return shared


def chat_of(page: ChatPage) -> Chat:
    """The panel's chat."""
    chat = page.panel.content._line._chat
    assert chat is not None
    return chat


def test_base_and_adapters_of_completed_runs_are_offered(home: Path, tiny: Path) -> None:
    """The newest run's base and adapters stand ready, base and newest ticked; nothing is loaded."""
    with opened(Studio(home=home)) as page:
        setup = page.sections["setup"]
        assert page.sections["process"]["state"] == "closed"

    assert setup["model"] == str(tiny)
    assert [(slot["title"], slot["on"]) for slot in setup["slots"]] == [
        ("Base model", True),
        ("second", True),
        ("first", False),
    ]


def test_a_run_that_was_stopped_and_saved_has_an_adapter_too(tiny: Path, tmp_path: Path) -> None:
    """It is offered; one that was stopped without saving is not."""
    write_completed_run(tmp_path, tiny, name="saved", seed=1, number=1, state="stopped")
    write_completed_run(tmp_path, tiny, name="dropped", seed=2, number=2, state="stopped", saved=False)
    with opened(Studio(home=tmp_path)) as page:
        slots = page.sections["setup"]["slots"]

    assert [slot["title"] for slot in slots] == ["Base model", "saved"]


def test_all_that_are_ticked_answer_and_the_base_loads_once(page: ChatPage, tiny: Path) -> None:
    """Base and two adapters give the answers that the core gives; a second prompt loads nothing."""
    page.tick("Base model", "first", "second")
    page.ask()
    answers, pid, loads = page.answers(), chat_of(page).pid, page.sections["process"]["loads"]
    assert [answer["state"] for answer in page.last["answers"]] == ["done"] * 3
    assert len(set(answers.values())) == 3
    assert answers["Base model"] == chat_of(page).ask(PROMPT, max_new_tokens=12).text
    assert all(answer["tokens"] and answer["tokens_per_s"] for answer in page.last["answers"])
    assert all(answer["switch_s"] > 0 for answer in page.last["answers"])

    page.ask("a cat runs")
    assert (chat_of(page).pid, page.sections["process"]["loads"]) == (pid, loads)
    assert page.sections["process"]["resident"] == 2
    assert len(page.sections["turns"]) == 2


def test_a_page_that_comes_later_has_the_whole_conversation(page: ChatPage) -> None:
    """Loading the page again loses neither prompts, answers nor what was typed."""
    page.ask()
    page.command("keep", draft="half a thou")
    later = ChatPage(page.panel)
    later.command("pull")

    page.numbers.clear()  # the first page listens again, from the next update on
    page.panel.comm.listen = page._take

    assert later.answers() == page.answers()
    assert later.sections["turns"] == page.sections["turns"]
    assert later.sections["draft"] == "half a thou"


def test_an_adapter_of_another_base_is_refused_with_its_reason(page: ChatPage, tmp_path: Path) -> None:
    """The refusal names the adapter and says what does not fit; nobody is added. One that fits is."""
    other = save_tiny_model(tmp_path / "other", seed=3, hidden=32)
    wrong = save_adapter(other, tmp_path / "wrong", seed=4)
    reply = page.command("add_folder", path=str(wrong))
    assert "'wrong' does not fit" in reply["problem"]["message"]
    assert "does not fit" not in str(page.command("add_folder", path=str(tmp_path / "nothing"))["problem"])
    assert len(page.sections["setup"]["slots"]) == 3

    right = save_adapter(Path(page.sections["setup"]["model"]), tmp_path / "right", seed=5)
    assert page.command("add_folder", path=str(right))["value"] == "right"
    page.tick("Base model", "right")
    page.ask()
    assert len(set(page.answers().values())) == 2


def test_whose_adapter_it_is(page: ChatPage, tmp_path: Path) -> None:
    """Another base of the same shapes is refused with a code that the page knows; a person's word lets it in, and its code
    says so. A base that cannot be known is said beside those who answer."""
    twin = save_adapter(save_tiny_model(tmp_path / "twin", seed=8), tmp_path / "theirs", seed=4)
    problem = page.command("add_folder", path=str(twin))["problem"]
    assert problem["code"] == "other-base"
    assert "has other weights" in problem["message"]
    assert page.command("add_folder", path=str(twin), same_base=True)["value"] == "theirs"
    shutil.rmtree(tmp_path / "twin")  # from now on nobody can know
    far = shutil.copytree(twin, tmp_path / "far")
    assert page.command("add_folder", path=str(far))["value"] == "far"
    page.tick("far", "theirs")
    assert {answer["state"] for answer in page.ask()["answers"]} == {"done"}

    doubts = {slot["title"]: slot["doubt"] for slot in page.sections["setup"]["slots"]}
    assert doubts["far"].startswith("It names ")
    assert doubts["theirs"] == doubts["Base model"] == ""
    assert f"chat.add('theirs', {str(twin)!r}, same_base=True)" in page.sections["code"]


def test_an_adapter_that_is_gone_leaves_the_others_their_answers(page: ChatPage, tiny: Path, tmp_path: Path) -> None:
    """What one lacks is said where its answer would stand."""
    folder = save_adapter(tiny, tmp_path / "gone", seed=6)
    page.command("add_folder", path=str(folder))
    (folder / "adapter_model.safetensors").unlink()
    page.tick("Base model", "gone")
    base, gone = page.ask()["answers"]

    assert (base["state"], gone["state"]) == ("done", "failed")
    assert "adapter_model.safetensors" in gone["problem"]["message"]


def test_stop_ends_the_answer_and_asks_nobody_else(page: ChatPage) -> None:
    """What there is of the answer stays; those who wait are not asked; the next prompt is answered."""
    page.ask()
    page.set_option("max_new_tokens", 240)
    page.command("send", prompt="a cat")
    page.command("stop")
    page.wait(lambda: page.sections["busy"] is None)
    states = [answer["state"] for answer in page.last["answers"]]

    assert states in (["stopped", "stopped"], ["done", "stopped"])  # the tiny model may have ended by itself before
    page.set_option("max_new_tokens", 3)
    assert [answer["state"] for answer in page.ask()["answers"]] == ["done", "done"]


def test_while_it_answers_another_prompt_is_refused(page: ChatPage) -> None:
    """One prompt at a time: the second stays with the person who wrote it."""
    page.command("send", prompt=PROMPT)
    reply = page.command("send", prompt="and spain")
    page.wait(lambda: page.sections["busy"] is None)

    assert reply["problem"]["message"] == "An answer is still being written."


def test_a_base_that_is_missing_is_said_under_the_prompt(home: Path, tmp_path: Path) -> None:
    """The turn carries the reason, and nobody has answered."""
    with opened(Studio(home=home)) as page:
        page.command("choose_model", model=str(tmp_path / "no model here"))
        page.wait(lambda: "no model here" in page.sections["setup"]["model"])
        turn = page.ask()

    assert turn["problem"]["message"]
    assert turn["problem"]["hint"]
    assert [answer["state"] for answer in turn["answers"]] == ["failed"]


def test_the_sessions_run_is_ticked(home: Path) -> None:
    """The run chosen elsewhere stands ready here."""
    studio = Studio(home=home)
    with opened(studio) as page:
        page.tick("Base model")
        studio.session.choose(run_id="r-20261122-203411-9f31ac")
        page.wait(lambda: [s["title"] for s in page.sections["setup"]["slots"] if s["on"]] == ["Base model", "first"])


def test_a_process_that_dies_is_said_and_replaced(page: ChatPage) -> None:
    """Killed while nobody asks: the next prompt opens another and is answered."""
    chat, loads = chat_of(page), page.sections["process"]["loads"]
    os.kill(chat.pid, signal.SIGKILL)
    chat._process._popen.wait(20)

    assert [answer["state"] for answer in page.ask()["answers"]] == ["done", "done"]
    assert page.sections["process"]["loads"] == loads + 1


def test_another_base_frees_the_first(page: ChatPage, tiny: Path, tmp_path: Path) -> None:
    """When code chooses another base the panel follows and its process ends; a choice made here is the session's."""
    first, session = chat_of(page), page.panel.content._studio.session
    session.choose(model=str(save_tiny_model(tmp_path / "other", seed=3)))
    page.wait(lambda: page.sections["setup"]["title"] == "other" and first.closed)
    page.command("choose_model", model=str(tiny))

    assert session.now.model == str(tiny)
