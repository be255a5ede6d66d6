"""Pages of an index of any size: order, offset, count, and that none of it reads folders."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.runs import events as ev
from peft_studio.core.runs import store as store_module
from peft_studio.core.runs.index import ORDERS, RunIndex, RunQuery, RunRow
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.store import RunStore

MANY = 100_000


def row(number: int, **fields: Any) -> RunRow:
    """A run that has ended."""
    known = RunRow(
        id=f"r-20261122-203412-{number:06x}", name=f"run {number}", state="completed", model="org/base", method="lora",
        provider="local", created_at=1000.0 + number, last_at=2000.0 + number, step=10, total_steps=10, loss=1.0,
        eval_loss=None,
    )  # fmt: skip
    return replace(known, **fields)


def names(index: RunIndex, start: int = 0, count: int = 10, **query: Any) -> list[str]:
    """The names on one page."""
    return [one.name for one in index.page(RunQuery(**query), start, count)]


@pytest.fixture
def index(tmp_path: Path) -> RunIndex:
    """Five runs, some with numbers and some without."""
    made = RunIndex(tmp_path / "index.sqlite")
    losses, times = (0.5, None, 0.25, 0.75, None), (60.0, 10.0, None, 30.0, None)
    made.put(row(n, name="bDaCE"[n], eval_loss=losses[n], time_s=times[n]) for n in range(5))
    return made


def test_every_order_goes_both_ways_and_puts_the_unknown_last(index: RunIndex) -> None:
    """Names in any case; a run without the number is at the end whichever way it goes."""
    assert names(index) == ["E", "C", "a", "D", "b"]
    assert names(index, order_by="name", descending=False) == ["a", "b", "C", "D", "E"]
    assert names(index, order_by="eval_loss", descending=False) == ["a", "b", "C", "D", "E"]
    assert names(index, order_by="eval_loss") == ["C", "b", "a", "E", "D"]
    assert names(index, order_by="time_s") == ["b", "C", "D", "E", "a"]
    with pytest.raises(ValueError, match="ordered"):
        names(index, order_by="id; DROP TABLE runs")


@pytest.mark.parametrize("order_by", ORDERS)
def test_pages_join_into_the_whole(index: RunIndex, order_by: str) -> None:
    """No run twice and none left out, also where many are equal."""
    whole = names(index, order_by=order_by)

    assert [name for start in range(0, 5, 2) for name in names(index, start, 2, order_by=order_by)] == whole
    assert index.count(RunQuery(text="ORG/")) == 5
    assert index.count(RunQuery(since_at=1003.0)) == 2
    assert index.providers() == ["local"]


def test_an_index_of_another_version_is_built_again(tmp_path: Path) -> None:
    """What an older studio left has other columns: it is dropped, not tripped over."""
    path = tmp_path / "index.sqlite"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, name TEXT)")
        old.execute("INSERT INTO runs VALUES ('r', 'old')")
    old.close()
    index = RunIndex(path)

    assert index.page(RunQuery(), 0, 5) == []
    index.put([row(1)], listed=7)
    assert index.listed() == 7


def test_a_page_of_100_000_runs_reads_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once listed, the folder of runs is not listed again until one comes or goes, and runs that have ended are not read."""
    store = RunStore(tmp_path)
    old = time.time() - 60
    os.utime(store.runs, (old, old))
    store.index.put([row(n) for n in range(MANY)], listed=store.runs.stat().st_mtime_ns)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a folder was read")

    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(store_module, "_look", refuse)
    store.catch_up()
    began = time.process_time()
    page = store.index.page(RunQuery(), MANY - 50, 50)
    assert time.process_time() - began < 1.0  # a hundred times what it takes
    assert [one.name for one in page] == [f"run {n}" for n in range(49, -1, -1)]
    assert store.index.count(RunQuery(status="completed")) == MANY


def test_a_folder_that_comes_later_is_listed(tmp_path: Path) -> None:
    """The listing is taken again when the folder of runs has changed, and rows without a folder leave."""
    store = RunStore(tmp_path)
    old = time.time() - 60
    os.utime(store.runs, (old, old))
    store.index.put([row(1)], listed=store.runs.stat().st_mtime_ns)
    assert len(store.list_rows()) == 1

    (store.runs / "r-20261122-203412-00000a").mkdir()
    assert store.list_rows() == []


def test_an_unfinished_run_that_has_not_changed_is_not_written_again(store: RunStore, make_run: Any) -> None:
    """Listing a lost run over and over leaves the index as it is: who watches the file would else never rest."""
    folder = make_run()
    folder.agent_lock.touch()
    EventLogWriter(folder.events).append(ev.JobStarted(pid=1))
    store.catch_up()
    old = time.time() - 60
    os.utime(store.runs, (old, old))
    store.catch_up()
    before = store.index.path.stat().st_mtime_ns
    store.catch_up()

    assert store.list_rows()[0].state == "lost"
    assert store.index.path.stat().st_mtime_ns == before


def test_an_opening_is_held_for_one_thread_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions inside a block share one opening, also where blocks nest; another thread has its own, and so has what comes later."""
    index = RunIndex(tmp_path / "index.sqlite")
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **how: opened.append(1) or connect(*given, **how))
    with index.held():
        index.put([])
        with index.held():
            assert index.states() == {}
        assert index.listed() is None
        other = threading.Thread(target=index.states)
        other.start()
        other.join(20)
    index.states()

    assert len(opened) == 3
