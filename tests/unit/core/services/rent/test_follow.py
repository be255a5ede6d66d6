"""Following a run on a rented machine: the real boot script, the real agent and trainer, and a client that may die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peft_studio import Studio
from peft_studio.core.runs import events as ev
from peft_studio.core.runs.checkpoints import sha256_of
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.metrics import read_metrics
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.state import fold
from peft_studio.core.runs.store import RunStore
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Intent
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from tests.conftest import wait_for
from tests.rented import Provider, Rented, provide, rent

pytestmark = pytest.mark.slow

LABEL = "ps-abc123-run-1-7fffffff"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provide() as provider:
        yield provider


@pytest.fixture
def folder(studio: Studio, make_spec: Callable[..., Any]) -> RunFolder:
    return RunStore(studio.home).create(make_spec(max_steps=12, save_steps=4))


@pytest.fixture
def store(studio: Studio, folder: RunFolder) -> SqliteStore:
    store = SqliteStore(studio.home / "rent")
    store.put(Intent(label=LABEL, run_id=folder.id, attempt=1, provider="vastai", at=read_now()))
    return store


def follow(folder: RunFolder, store: SqliteStore, rented: Rented, *, model: Path, stop: threading.Event) -> Mirror:
    mirror = Mirror(folder)
    client = rented.client
    Follower(LABEL, mirror, store=store, reach=lambda record: client, now=read_now, stop=stop, model=model).follow()
    mirror.close()
    return mirror


def test_who_takes_over_goes_on(
    tmp_path: Path, provider: Provider, folder: RunFolder, store: SqliteStore, tiny_model: Path
) -> None:
    """A follower that lets go in the middle has lost nothing and doubled nothing for the one that comes after."""
    rented = rent(tmp_path / "pod-1", provider, folder)
    stop = threading.Event()
    first = threading.Thread(target=follow, args=(folder, store, rented), kwargs={"model": tiny_model, "stop": stop})
    first.start()
    wait_for(lambda: len(read_metrics(folder.metrics)) > 2, "some steps", timeout_s=120)
    stop.set()
    first.join(30)
    assert not first.is_alive()
    follow(folder, store, rented, model=tiny_model, stop=threading.Event())
    events = read_events(folder.events)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert fold(events).state == "completed"
    assert read_metrics(folder.metrics) == read_metrics(rented.there.metrics)
    state = fold(events)
    assert state.adapter
    assert sha256_of(folder.adapter / "adapter_model.safetensors") == state.adapter.sha256
    assert next(phase.phase for phase in state.phases if phase.phase in ev.ELSEWHERE) == "sending"
    record = store.find(LABEL)
    assert record
    assert (record.wish.ready, record.wish.end) == (True, "completed")
