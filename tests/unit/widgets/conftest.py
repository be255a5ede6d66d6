"""What the panel tests share: run folders written as an agent would, and a stand-in for the page at the other end of the comm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import comm
import pytest

from peft_studio.core.system import try_lock
from tests.ui.write_run import RunWriter, build_spec
from tests.unit.widgets.browser import Browser, PageComm


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Where a run's folder may be made."""
    return tmp_path / "runs" / "r-20261122-203412-9f31ac"


@pytest.fixture
def writer(run_folder: Path) -> RunWriter:
    """A run that has been created, with room for 300 steps."""
    return RunWriter(run_folder, build_spec())


@pytest.fixture
def alive(writer: RunWriter) -> Iterator[None]:
    """An agent that holds the run's lock and whose heart beats."""
    with writer.folder.agent_lock.open("a+b") as lock:
        assert try_lock(lock)
        writer.folder.heartbeat.touch()
        yield


@pytest.fixture
def open_browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Browser]]:
    """Make a panel, and give the page that shows it."""
    monkeypatch.setattr(comm, "create_comm", lambda **given: PageComm(**given))
    opened = []

    def open_(make_panel: Callable[[], object]) -> Browser:
        browser = Browser(make_panel())
        opened.append(browser)
        return browser

    yield open_
    for browser in opened:
        browser.panel.close()
