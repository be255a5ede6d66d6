"""The kernel's end of the sidebar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm

from peft_studio import Studio
from peft_studio.widgets import _sidebar, open_panel
from tests.conftest import wait_for
from tests.ui.write_run import RunWriter


class SidebarComm(BaseComm):
    """What went over the sidebar's comm."""

    opened: list[SidebarComm]

    def __init__(self, **given: Any) -> None:
        self.published: list[tuple[str, Any]] = []
        super().__init__(**given)
        if self.target_name == _sidebar.TARGET:
            type(self).opened.append(self)

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        self.published.append((msg_type, data))

    def section(self, name: str) -> Any:
        """The newest value of a section."""
        found = [
            data["sections"][name]
            for kind, data in list(self.published)
            if kind == "comm_msg" and name in data.get("sections", {})
        ]
        return found[-1] if found else None

    def ask(self, command: str, **args: Any) -> dict[str, Any]:
        """Send a command and wait for the reply."""
        data = {"kind": "command", "id": 7, "name": command, "args": args}
        self.handle_msg({"content": {"data": data}, "buffers": []})
        return wait_for(
            lambda: next(
                (data for kind, data in list(self.published) if kind == "comm_msg" and data["kind"] == "reply"), None
            ),
            "a reply",
            timeout_s=20,
        )  # type: ignore[no-any-return]


@pytest.fixture
def comms(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SidebarComm]]:
    """The sidebar's comms, in order of opening."""
    SidebarComm.opened = []
    monkeypatch.setattr(comm, "create_comm", lambda **given: SidebarComm(**given))
    yield SidebarComm.opened
    _sidebar.close_sidebar()


def test_showing_the_studio_tells_the_sidebar(comms: list[SidebarComm], studio: Studio) -> None:
    """The sidebar shows the panel that was shown last, and hears that the one before is over."""
    first = open_panel(studio)
    wait_for(lambda: comms[0].section("model_id") == first.model_id, "the first model")
    second = open_panel(studio)
    wait_for(lambda: comms[1].section("model_id") == second.model_id, "the second model")

    assert [kind for kind, _ in comms[0].published][-1] == "comm_close"
    assert "comm_close" not in [kind for kind, _ in comms[1].published]
    for panel in (first, second):
        panel.close()


def test_one_panel_alone_is_not_the_studio(comms: list[SidebarComm], studio: Studio) -> None:
    """A single panel leaves the sidebar as it is."""
    open_panel(studio, "run").close()

    assert comms == []


def test_active_runs_are_listed_and_shown(
    comms: list[SidebarComm], studio: Studio, make_folder: Callable[[], RunWriter]
) -> None:
    """The run stands in the list with its state; showing it chooses it in the session."""
    writer = make_folder()
    panel = open_panel(studio)
    listed = comms[0].ask("list_runs")["value"]
    assert [(run["id"], run["name"]) for run in listed] == [(writer.folder.id, "orders-to-json")]
    comms[0].published.clear()

    assert comms[0].ask("show_run", run_id=writer.folder.id)["ok"]
    assert (studio.session.now.panel, studio.session.now.run_id) == ("run", writer.folder.id)
    panel.close()


def test_a_run_that_is_not_there_is_a_problem(comms: list[SidebarComm], studio: Studio) -> None:
    """What the page asks for wrongly comes back as words."""
    panel = open_panel(studio)
    reply = comms[0].ask("stop_run", run_id="../../etc", save=True)

    assert not reply["ok"]
    assert "There is no run" in reply["problem"]["message"]
    panel.close()


@pytest.fixture
def make_folder(studio: Studio) -> Callable[[], RunWriter]:
    """Write a run into the studio's home."""

    def make() -> RunWriter:
        writer = RunWriter(studio.home / "runs" / "r-20261122-203412-9f31ac")
        writer.begin()
        return writer

    return make
