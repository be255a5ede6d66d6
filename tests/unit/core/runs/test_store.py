"""The home's runs and the index over them: filters, rebuilding, and several processes on one home."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_studio.core.errors import RunNotFound
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import EventLogWriter
from peft_studio.core.runs.metrics import MetricsWriter
from peft_studio.core.runs.store import RunStore
from peft_studio.core.runs.watch import STARTUP_S
from tests.unit.core.runs.conftest import build_spec

MakeRun = Callable[..., RunFolder]


def end(folder: RunFolder, state: str, *, loss: float = 1.5) -> None:
    """Give a run its whole life."""
    log, metrics = EventLogWriter(folder.events), MetricsWriter(folder.metrics)
    log.append(ev.JobStarted(pid=1))
    log.append(ev.PhaseEntered(phase="training"))
    metrics.log(1, loss=2.0)
    metrics.log(2, loss=loss)
    metrics.log(2, eval_loss=9.0)
    log.append(ev.Evaluated(step=2, loss=9.0, rows=1, duration_s=0.1))
    failure = ev.Failure(code="unexpected", message="m") if state == "failed" else None
    log.append(ev.Finished(state=state, failure=failure))  # type: ignore[arg-type]
    log.close()
    metrics.close()


def test_a_new_run_is_on_disk_and_in_the_list(store: RunStore, make_run: MakeRun) -> None:
    """Spec and first event stand in a folder that only the owner reads, before anything is started."""
    folder = make_run(name="first")
    assert folder.load_spec().name == "first"
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.spec.stat().st_mode & 0o777 == 0o600
    (row,) = store.list_rows()
    assert (row.id, row.name, row.state, row.step) == (folder.id, "first", "queued", None)
    assert time.time() - row.created_at < 60


def test_rows_tell_the_end_of_a_run(store: RunStore, make_run: MakeRun) -> None:
    """State, last step, last loss and last evaluation come from the folder."""
    end(make_run(), "completed", loss=0.25)
    (row,) = store.list_rows()
    assert (row.state, row.step, row.loss, row.eval_loss) == ("completed", 2, 0.25, 9.0)


def test_filters(store: RunStore, make_run: MakeRun) -> None:
    """Each filter takes what it says; together they narrow."""
    for name, state, model in (("a", "completed", "org/x"), ("b", "failed", "org/x"), ("c", "completed", "org/y")):
        end(make_run(name=name, model=model), state)
    names = lambda **filters: sorted(row.name for row in store.list_rows(**filters))  # noqa: E731
    assert names() == ["a", "b", "c"]
    assert names(status="completed") == ["a", "c"]
    assert names(status="completed", text="org/y") == ["c"]
    assert names(provider="local") == ["a", "b", "c"]
    assert names(provider="elsewhere") == []
    assert names(since_at=time.time() - 60) == ["a", "b", "c"]
    assert names(since_at=time.time() + 60) == []
    assert len(names(limit=2)) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [("100%", ["100% of it"]), ("%", ["100% of it"]), ("_", ["under_score"]), ("e_s", []), ("r_s", ["under_score"]),
     ("\\", ["back\\slash"]), ("'; DROP TABLE runs; --", []), ("UNDER", ["under_score"]), ("überträgt", ["überträgt"])],
)  # fmt: skip
def test_text_is_searched_as_it_is_written(store: RunStore, make_run: MakeRun, text: str, found: list[str]) -> None:
    """SQL's wildcards and quotes are ordinary letters to a person."""
    for name in ("100% of it", "under_score", "back\\slash", "plain", "überträgt"):
        make_run(name=name)
    assert [row.name for row in store.list_rows(text=text)] == found
    assert len(store.list_rows()) == 5


def test_newest_first(store: RunStore, make_run: MakeRun) -> None:
    """Runs made within one second keep their order too."""
    names = [f"run {number}" for number in range(8)]
    for name in names:
        make_run(name=name)
    assert [row.name for row in store.list_rows()] == names[::-1]


@pytest.mark.parametrize("damage", ["gone", "garbage", "emptied", "only the journal left", "cut"])
def test_the_index_is_rebuilt_from_the_folders(store: RunStore, make_run: MakeRun, damage: str) -> None:
    """Delete or damage the index: the next list is the same as before."""
    for number in range(5):
        end(make_run(name=f"run {number}"), "completed")
    before = store.list_rows()
    index = store.home / "index.sqlite"
    if damage == "gone":
        for path in store.home.glob("index.sqlite*"):
            path.unlink()
    elif damage == "only the journal left":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"this is no database at all, not even nearly" * 200)
    elif damage == "emptied":
        index.write_bytes(b"")
    else:
        index.write_bytes(index.read_bytes()[:5000])
    assert store.list_rows() == before


def test_a_deleted_folder_leaves_the_list(store: RunStore, make_run: MakeRun) -> None:
    """The folders are the truth: a run whose folder somebody removed is gone."""
    gone, stays = make_run(), make_run()
    end(gone, "completed")
    store.list_rows()
    shutil.rmtree(gone.path)
    assert [row.id for row in store.list_rows()] == [stays.id]
    with pytest.raises(RunNotFound, match=gone.id):
        store.folder(gone.id)


@pytest.mark.parametrize(
    "run_id", ["", "..", "../..", "r-20261122-203412-9f31ag", "/etc", "runs", "r-20261122-203412-9f31ac/.."]
)
def test_only_run_ids_name_runs(store: RunStore, make_run: MakeRun, run_id: str) -> None:
    """Nothing else becomes part of a path."""
    make_run()
    with pytest.raises(RunNotFound):
        store.folder(run_id)


@pytest.mark.parametrize("damage", ["spec newer", "spec garbage", "spec gone", "log garbage", "folder empty"])
def test_one_damaged_run_does_not_hide_the_others(store: RunStore, make_run: MakeRun, damage: str) -> None:
    """A list shows what can be read."""
    sound, bad = make_run(name="sound"), make_run(name="bad")
    if damage == "spec newer":
        bad.spec.write_text(bad.spec.read_text().replace('"version": 1', '"version": 99'))
    elif damage == "spec garbage":
        bad.spec.write_bytes(b"\xff\x00{")
    elif damage == "spec gone":
        bad.spec.unlink()
    elif damage == "log garbage":
        bad.events.write_bytes(b"\xff\xfe not json\n")
    else:
        shutil.rmtree(bad.path)
        bad.path.mkdir()
    for path in store.home.glob("index.sqlite*"):
        path.unlink()
    assert sound.id in [row.id for row in store.list_rows()]


def test_a_resumed_run_is_looked_at_again(store: RunStore, make_run: MakeRun) -> None:
    """An agent takes its run off the index before it writes, so that an old end is never shown for a new job."""
    folder = make_run()
    end(folder, "failed")
    assert store.list_rows()[0].state == "failed"
    from peft_studio.runner.agent.journal import Journal

    journal = Journal(folder)
    journal.append(ev.JobStarted(pid=1))  # killed here: no lock is held
    assert store.list_rows()[0].state == "lost"
    journal.close()


def test_a_silent_run_becomes_lost_in_the_list(
    store: RunStore, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list never shows a live state for a run that nothing carries on."""
    make_run()
    assert store.list_rows()[0].state == "queued"
    now = time.time()
    monkeypatch.setattr("peft_studio.core.runs.store.time.time", lambda: now + STARTUP_S + 1)
    assert store.list_rows(status="lost")[0].state == "lost"
    assert store.list_rows(status="queued") == []


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from peft_studio.core.runs.store import RunStore
from tests.unit.core.runs.conftest import build_spec
from tests.unit.core.runs.test_store import end
store = RunStore(Path(sys.argv[1]))
for number in range(15):
    end(store.create(build_spec(name=f"{sys.argv[3]} {number}")), "completed")
    store.list_rows(limit=5)
"""


def test_two_processes_share_a_home(store: RunStore) -> None:
    """Both write and list at once; no error, no run missing, every row right."""
    root = str(Path(__file__).parents[4])
    children = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(store.home), root, name], stderr=subprocess.PIPE, text=True)
        for name in ("left", "right")
    ]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    rows = store.list_rows(limit=100)
    assert sorted(row.name for row in rows) == sorted(f"{side} {n}" for side in ("left", "right") for n in range(15))
    assert {row.state for row in rows} == {"completed"}


def test_a_thousand_runs(store: RunStore) -> None:
    """A thousand finished runs are indexed once; after that a list reads none of their folders."""
    first = store.create(build_spec(name="run 0"))
    end(first, "completed")
    for number in range(1, 1000):
        shutil.copytree(first.path, store.runs / f"r-20260101-{number // 100:06d}-{number:06x}")
    assert len(store.list_rows(limit=2000)) == 1000
    for path in store.runs.glob("r-2026*/events.jsonl"):
        path.unlink()
    rows = store.list_rows(limit=2000)
    assert len(rows) == 1000
    assert {row.state for row in rows} == {"completed"}
