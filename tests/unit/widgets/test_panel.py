"""The base panel: updates, commands, fallbacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from peft_studio.core.errors import RunStateError
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._feed import HIDDEN_S
from peft_studio.widgets._panel import WIDGET_VIEW, Panel
from peft_studio.widgets._refresh import REFRESHER
from tests.unit.widgets.browser import Browser

OpenBrowser = Callable[[Callable[[], Any]], Browser]


class Counter(Content):
    """A panel small enough to see through."""

    module = "run"
    interval_s = 0.01

    def __init__(self) -> None:
        self.count = 0
        self.problem: Exception | None = None

    def __repr__(self) -> str:
        return "Counter()"

    def sections(self) -> dict[str, Any]:
        if self.problem:
            raise self.problem
        return {"count": self.count, "name": "counter", "code": f"count = {self.count}"}

    def snapshot_html(self) -> str:
        return f"<p>{self.count}</p>"

    @command
    def add(self, by: int) -> int:
        """Count on."""
        self.count += by
        return self.count

    @command
    def refuse(self) -> None:
        """Say no."""
        raise RunStateError("The run is completed.", hint="Launch a new one.")

    @command
    def break_down(self) -> None:
        """Go wrong in a way nobody thought of."""
        raise ZeroDivisionError("surprise")

    def not_a_command(self) -> None:
        self.count = -1


def test_a_command_that_waited_for_a_cell_is_asked_for_again(open_browser: OpenBrowser) -> None:
    """It may have been taken back meanwhile: nothing is done until the page sends it anew."""
    browser = open_browser(lambda: Panel(Counter()))
    browser.send(id=8, name="add", args={"by": 3}, at=time.time() - 5)
    browser.wait(lambda: ("late", 8) in browser.words)
    assert browser.panel.content.count == 0
    browser.send(id=8, name="add", args={"by": 3}, at=time.time())
    browser.wait(lambda: 8 in browser.replies)

    assert browser.words == [("late", 8), ("taken", 8)]
    assert browser.replies[8]["value"] == 3


def test_changes_reach_the_page_without_being_asked_for(open_browser: OpenBrowser) -> None:
    """State that changes is sent; what stays the same is not sent again."""
    browser = open_browser(lambda: Panel(Counter()))
    browser.wait(lambda: browser.sections.get("count") == 0)
    browser.panel.content.count = 5

    browser.wait(lambda: browser.sections["count"] == 5)
    assert browser.sections["name"] == "counter"


def test_what_nobody_sees_is_read_less_often_and_what_is_gone_not_at_all(open_browser: OpenBrowser) -> None:
    """Coming back into sight it is right at once; a command works whether or not anybody sees the panel."""
    browser = open_browser(lambda: Panel(Counter()))
    feed = browser.panel._feeds[""]
    browser.wait(lambda: browser.sections.get("count") == 0)
    browser.send("sight", word="hidden")
    assert HIDDEN_S <= feed.interval_s <= 2 * HIDDEN_S
    assert browser.command("add", by=1)["value"] == 1

    browser.send("sight", word="gone")
    assert feed not in REFRESHER.watched
    browser.panel.content.count = 5
    assert browser.command("add", by=2)["value"] == 7

    browser.panel.content.count = 8
    browser.send("sight", word="seen")
    browser.wait(lambda: browser.sections["count"] == 8)
    assert feed.interval_s == Counter.interval_s


def test_with_a_shell_go_the_panels_inside_it(open_browser: OpenBrowser) -> None:
    """A cell that is run again leaves its studio behind: none of its steps is read any more."""
    browser = open_browser(lambda: Panel(Counter(), inner={"step": Counter}))
    browser.send("sight", panel="step", word="hidden")
    feeds = list(browser.panel._feeds.values())
    assert len(feeds) == 2
    browser.send("sight", word="gone")

    assert REFRESHER.watched.isdisjoint(feeds)


def test_a_command_answers_with_its_value(open_browser: OpenBrowser) -> None:
    """The reply carries the id and the value."""
    browser = open_browser(lambda: Panel(Counter()))

    assert browser.command("add", by=3) == {"kind": "reply", "id": 1, "ok": True, "value": 3, "problem": None}


def test_a_refusal_says_what_and_what_next(open_browser: OpenBrowser) -> None:
    """A StudioError arrives as message and hint."""
    reply = open_browser(lambda: Panel(Counter())).command("refuse")

    assert reply["ok"] is False
    assert reply["problem"] == {"message": "The run is completed.", "hint": "Launch a new one."}


def test_an_unexpected_error_is_shown_and_the_panel_lives_on(open_browser: OpenBrowser) -> None:
    """Nothing that goes wrong in a callback vanishes, and nothing else stops because of it."""
    browser = open_browser(lambda: Panel(Counter()))

    assert browser.command("break_down")["problem"]["message"] == "ZeroDivisionError: surprise"
    assert browser.command("add", by=1)["value"] == 1


def test_only_commands_can_be_called(open_browser: OpenBrowser) -> None:
    """A method that is no command, or wrong arguments, change nothing."""
    browser = open_browser(lambda: Panel(Counter()))

    for name in ("not_a_command", "close", "__init__", "nothing_such"):
        assert browser.command(name)["ok"] is False
    assert "by" in browser.command("add")["problem"]["message"]
    assert browser.panel.content.count == 0


def test_a_problem_while_refreshing_is_shown_until_it_is_over(open_browser: OpenBrowser) -> None:
    """The panel says what is wrong, keeps trying, and takes the words back."""
    browser = open_browser(lambda: Panel(Counter()))
    browser.panel.content.problem = OSError("disk gone")
    browser.wait(lambda: (browser.sections.get("problem") or {}).get("message") == "OSError: disk gone")
    browser.panel.content.problem = None

    browser.wait(lambda: browser.sections["problem"] is None)


def test_pull_sends_everything(open_browser: OpenBrowser) -> None:
    """A page that was loaded again gets all sections, though none has changed."""
    browser = open_browser(lambda: Panel(Counter()))
    browser.wait(lambda: "count" in browser.sections)
    browser.sections.clear()
    browser.command("pull")

    assert {"count", "name"} <= set(browser.sections)


def test_bundle_has_every_form_and_no_address(open_browser: OpenBrowser) -> None:
    """A saved notebook has text and a picture; the text is the same each time."""
    panel = open_browser(lambda: Panel(Counter())).panel
    bundle = panel._repr_mimebundle_()

    assert bundle["text/plain"] == "Counter()"
    assert bundle["text/html"] == "<p>0</p>"
    assert bundle[WIDGET_VIEW]["model_id"] == panel.model_id


def test_clicks_may_come_on_the_thread_the_page_chose(open_browser: OpenBrowser) -> None:
    """Where ipykernel would send a widget's clicks to the thread that runs cells, the panel's comm says otherwise."""
    panel = open_browser(lambda: Panel(Counter())).panel
    hook = getattr(panel.comm, "_reply_subshell_for", None)

    assert hook is None or hook({}, "subshell-1") == "subshell-1"


def test_code_is_that_of_the_state_now(open_browser: OpenBrowser) -> None:
    """What *Show code* shows can be had in a cell; a panel that cannot be read just now has none."""
    content = Counter()
    browser = open_browser(lambda: Panel(content))
    content.count = 3

    assert browser.panel.code == "count = 3"
    content.problem = ValueError("unreadable")
    assert browser.panel.code == ""
