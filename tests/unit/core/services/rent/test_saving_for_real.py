"""A cap comes near: real keeper, follower, boot script and agent; the trainer is a stand-in, the provider has one machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from peft_studio.core.ports.rental import Ended, Instance, Instances
from peft_studio.core.runs.log import read_events
from peft_studio.core.runs.mirror import Mirror
from peft_studio.core.runs.state import fold
from peft_studio.core.services.rent.follow import Follower
from peft_studio.core.services.rent.keeper import Keeper
from peft_studio.core.services.rent.limits import LIMITS
from peft_studio.core.services.rent.moment import read_now
from peft_studio.core.services.rent.record import Done, Record
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from tests.conftest import wait_for
from tests.rented import Provider, Rented, provide, put_gpu, rent_training
from tests.unit.core.services.rent.world import LABEL, intent

pytestmark = pytest.mark.slow
LIMITS_HERE = replace(LIMITS, busy_s=1.0, calm_s=1.0, spare_s=1.0, settle_s=0.5, lag_s=0.5, save_s=6.0)


class Account:
    """At whose provider the machine is. ``ended_at``: when its end was asked for."""

    def __init__(self, rented: Rented) -> None:
        self._rented, self.ended = rented, False

    def list_instances(self) -> Instances:
        lives = bool(self._rented.machine.processes)
        one = Instance(id="i1", label=LABEL, state="running", usd_per_hour=Decimal(2))
        return Instances(instances=(one,) if lives else ())

    def end_instance(self, instance_id: str) -> Ended:
        self.ended = True
        self._rented.machine.end()
        return Ended()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provide() as provider:
        yield provider


def attend(store: SqliteStore, rented: Rented) -> Record:
    """Keep and follow until the record is closed."""
    account, over = Account(rented), threading.Event()

    def follow() -> None:
        mirror = Mirror(rented.folder)
        Follower(LABEL, mirror, store=store, reach=lambda record: rented.client, now=read_now, stop=over).follow()
        mirror.close()

    keeper = Keeper(
        "alpha", store, rentals=lambda: {"alpha": account}, build_rent=lambda wanted: pytest.fail("bought"), token="t", now=read_now, limits=LIMITS_HERE,
    )  # fmt: skip
    follower = threading.Thread(target=follow)
    follower.start()
    try:
        wait_for(lambda: keeper.turn() and not store.list_open(), "the proof that it is gone", timeout_s=60)
    finally:
        over.set()
        follower.join(20)
    record = store.find(LABEL)
    assert record
    return record


def put_record(at: Path, rented: Rented, **fields: object) -> SqliteStore:
    """Its machine was made a moment ago."""
    store, now = SqliteStore(at / "rent"), read_now()
    store.put(intent(run_id=rented.folder.id, at=now, **fields))
    record = store.claim(LABEL, "t", now, hold_s=90)
    assert record
    store.write(
        record,
        "t",
        Done(asked_at=now, made="made", doubt_at=now, instance_id="i1", rank=3, moved_at=now, usd_per_hour=Decimal(2)),
    )
    return store


def test_what_was_learned_is_home_before_a_cap_ends_the_machine(tmp_path: Path, provider: Provider) -> None:
    """The budget pays for 14 s: a warning, then the trainer saves, the adapter comes home, and the machine goes while money is left."""
    rented = rent_training(tmp_path, provider, {"steps": 10_000, "pause_s": 0.05})
    wait_for(lambda: rented.step() > 0, "training")
    store = put_record(tmp_path, rented, budget_usd=Decimal(28) / 3600, lifetime_s=28.0)
    record = attend(store, rented)
    state = fold(read_events(rented.folder.events))
    assert (record.done.leaving, record.done.saving, state.state) == ("budget", "budget", "stopped")
    assert [one.code for one in state.warnings] == ["cap_near", "cap_reached"]
    assert (rented.folder.adapter / "adapter_model.safetensors").is_file()
    assert record.done.leaving_at
    assert record.done.asked_at
    assert record.done.leaving_at.past(record.done.asked_at) < 14 - LIMITS_HERE.calm_s - LIMITS_HERE.spare_s
    assert not rented.provider.asked


@pytest.mark.stress  # 20 s
def test_a_gpu_that_idles_is_found_at_home_where_its_own_agent_does_not_see_to_it(
    tmp_path: Path, provider: Provider
) -> None:
    """The machine has no rule of its own; its numbers come home, and the run is stopped, saved and fetched."""
    put_gpu(tmp_path / "pod" / "gpu", 2)
    rented = rent_training(tmp_path, provider, {"steps": 10_000, "pause_s": 0.05})
    store = put_record(tmp_path, rented, lifetime_s=3600.0, idle_s=5.0)
    record = attend(store, rented)
    state = fold(read_events(rented.folder.events))
    assert (record.done.leaving, state.state) == ("idle", "stopped")
    assert [one.code for one in state.warnings] == ["gpu_idle", "gpu_idle_stop"]
    assert (rented.folder.adapter / "adapter_model.safetensors").is_file()
