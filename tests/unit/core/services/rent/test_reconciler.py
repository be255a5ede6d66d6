"""The process that watches: it comes to an end by itself, one a home, and no provider keeps another waiting. Real threads, real clock, real disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio.core.errors import OverBudget, RentError, Unavailable
from peft_studio.core.ports.rental import Ended, Instance, Instances, Rent
from peft_studio.core.services.rent.alarms import build_alarms
from peft_studio.core.services.rent.desk import Desk
from peft_studio.core.services.rent.held import find_held
from peft_studio.core.services.rent.limits import LIMITS
from peft_studio.core.services.rent.reconciler import Reconciler, is_watched, lock_path, start_watching
from peft_studio.core.services.rent.record import EndAsked, Intent
from peft_studio.core.services.rent.sqlite_store import SqliteStore
from peft_studio.core.services.rent.store import Stray
from peft_studio.core.system import try_lock
from tests.conftest import wait_for
from tests.unit.core.services.rent.world import RUN, at, machine, made, offer, record

QUICK = replace(LIMITS, settle_s=0.1, lag_s=0.1, busy_s=0.05, calm_s=0.1)


class Provider:
    """A provider that does what it is asked; ``hang`` keeps every call for as long as it is set."""

    info: Any = None
    unsupported: Any = None

    def __init__(self, name: str) -> None:
        self.name, self.machines, self.hang = name, dict[str, Instance](), threading.Event()
        self.submitted: list[str] = []
        self.deaf = 0

    def list_instances(self) -> Instances:
        while self.hang.is_set():
            self.hang.wait(0.01)
            threading.Event().wait(0.01)
        return Instances(instances=tuple(self.machines.values()))

    def submit_job(self, rent: Rent) -> Instance:
        self.submitted.append(rent.label)
        self.machines[rent.label] = machine(f"{self.name}-{len(self.submitted)}", rent.label)
        return self.machines[rent.label]

    def end_instance(self, instance_id: str) -> Ended:
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("status 503")
        self.machines = {label: one for label, one in self.machines.items() if one.id != instance_id}
        return Ended()


def build_rent(intent: Intent) -> Rent:
    assert intent.offer is not None
    return Rent(intent.label, intent.offer, "#!/bin/sh", intent.disk_gib)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "rent")
    yield made
    made.close()


@pytest.fixture
def watch(store: SqliteStore, tmp_path: Path) -> Iterator[Callable[..., tuple[Reconciler, threading.Thread]]]:
    """Start a watcher; all are ended after the test."""
    started: list[tuple[Reconciler, threading.Thread]] = []

    def _watch(*providers: Provider) -> tuple[Reconciler, threading.Thread]:
        rentals: Any = {provider.name: provider for provider in providers}
        watcher = Reconciler(store, tmp_path / "rent", rentals=lambda: rentals, build_rent=build_rent, limits=QUICK)
        thread = threading.Thread(target=watcher.run)
        thread.start()
        started.append((watcher, thread))
        return started[-1]

    yield _watch
    for watcher, thread in started:
        watcher.stop()
        thread.join(20)


def test_from_the_order_to_the_proof_that_it_is_gone(store: SqliteStore, watch: Any) -> None:
    """It buys one, keeps it, ends it on a word from elsewhere, and returns once two lists lack it."""
    desk, alpha = Desk(store), Provider("alpha")
    desk.order(RUN, [offer()])
    watcher, thread = watch(alpha)
    wait_for(lambda: store.list_run(RUN)[-1].done.instance_id, "a machine")
    assert is_watched(watcher.folder)
    store.wish_moved(alpha.submitted[0], desk.now(), ready=True)
    with pytest.raises(RentError, match="has a machine"):
        desk.order(RUN, [offer()])
    alpha.deaf = 1
    desk.end(RUN)
    thread.join(40)

    assert not thread.is_alive()
    assert (len(alpha.submitted), alpha.machines, store.list_open()) == (1, {}, [])
    assert not is_watched(watcher.folder)
    assert 0 < desk.spend().usd < Decimal("0.1")
    assert desk.order(RUN, [offer()]).intent.attempt == 2


def test_one_with_newer_keys_takes_over(store: SqliteStore, watch: Any) -> None:
    """The first lets go while the second waits; nobody watches twice, and a third without keys comes back at once."""
    alpha = Provider("alpha")
    desk = Desk(store)
    desk.order(RUN, [offer()])
    first, thread = watch(alpha)
    wait_for(lambda: store.list_run(RUN)[-1].done.instance_id, "a machine")
    second = Reconciler(
        store, first.folder, rentals=lambda: {"alpha": alpha}, build_rent=first._build_rent, limits=first._limits
    )
    other = threading.Thread(target=second.run, kwargs={"take_over": True, "holds": {"alpha"}})
    other.start()
    thread.join(20)
    assert not thread.is_alive()
    wait_for(lambda: find_held(first.folder) == {"alpha"}, "the second, with its keys")
    assert Reconciler(store, first.folder, rentals=dict, build_rent=first._build_rent).run() is False
    desk.end(RUN)
    other.join(40)
    assert not other.is_alive()
    assert (len(alpha.submitted), alpha.machines) == (1, {})


def test_who_only_asks_whether_it_is_watched_keeps_nobody_from_watching(store: SqliteStore, watch: Any) -> None:
    """Asking holds the lock, shared, for an instant: met by that, a process that is to watch stays."""
    desk, alpha = Desk(store), Provider("alpha")
    desk.order(RUN, [offer()])
    folder = store.path.parent
    with lock_path(folder).open("a+b") as asking:
        assert try_lock(asking, shared=True)
        threading.Timer(0.1, asking.close).start()
        watch(alpha)
        wait_for(lambda: alpha.submitted, "its machine")


def test_a_provider_that_hangs_delays_no_other(store: SqliteStore, watch: Any) -> None:
    """Its thread waits; the other's machine is bought and ended meanwhile."""
    desk, alpha, beta = Desk(store), Provider("alpha"), Provider("beta")
    alpha.hang.set()
    desk.order("r-1", [offer("alpha")])
    desk.order("r-2", [offer("beta")])
    _, thread = watch(alpha, beta)
    wait_for(lambda: beta.submitted, "the other's machine")
    desk.end("r-2")
    wait_for(lambda: not beta.machines, "its end")
    assert alpha.submitted == []
    assert thread.is_alive()
    alpha.hang.clear()


def test_one_watches_a_home(store: SqliteStore, watch: Any, tmp_path: Path) -> None:
    """A second comes back at once; none is started beside one that runs."""
    alpha = Provider("alpha")
    alpha.hang.set()
    Desk(store).order(RUN, [offer()])
    watch(alpha)
    wait_for(lambda: is_watched(tmp_path / "rent"), "the first")
    second = Reconciler(store, tmp_path / "rent", rentals=dict, build_rent=build_rent)
    started: list[Any] = []

    assert second.run() is False
    start_watching(tmp_path, tmp_path / "rent", popen=lambda *args, **known: started.append(args))
    assert started == []
    alpha.hang.clear()


def test_the_process_is_started_and_ends_by_itself(store: SqliteStore, tmp_path: Path) -> None:
    """A real one, of its own session. What nobody sells is never asked for, so its record is closed once it is not wanted."""
    desk, folder = Desk(store), tmp_path / "rent"
    desk.order(RUN, [offer("nowhere")])
    start_watching(tmp_path, folder)
    wait_for(lambda: is_watched(folder), "the process", timeout_s=60)
    desk.end(RUN)
    wait_for(lambda: not is_watched(folder), "its end", timeout_s=60)

    assert store.list_open() == []
    assert "nowhere is not connected" in (folder / "watch.log").read_text()


def test_strangers_are_shown_and_not_touched(store: SqliteStore, watch: Any) -> None:
    """Another home's machine, one with an unreadable name of ours, one that is not ours at all: a person may end the first two."""
    alpha = Provider("alpha")
    for number, label in enumerate(("ps-bbbbbb-r-1-1-7fffffff", "ps-something", "mine", "")):
        alpha.machines[f"{number}"] = machine(f"i{number}", label, price="2.5")
    _, thread = watch(alpha)
    thread.join(20)
    desk = Desk(store)
    alarms = desk.alarms()

    assert [(alarm.kind, alarm.instance_id, alarm.usd_per_day) for alarm in alarms] == [
        ("stray", "i0", Decimal(60)), ("stray", "i1", Decimal(60)),
    ]  # fmt: skip
    desk.end_stray(store.list_strays()[0])
    _, thread = watch(alpha)
    thread.join(30)
    assert [one.id for one in alpha.machines.values()] == ["i1", "i2", "i3"]
    assert [alarm.instance_id for alarm in desk.alarms()] == ["i1"]


def test_caps_refuse_what_they_do_not_pay_for(store: SqliteStore) -> None:
    """And what they pay for has no longer life than that."""
    desk = Desk(store)
    with pytest.raises(OverBudget, match="less than two minutes"):
        desk.order("r-1", [offer(price="2")], budget_usd=Decimal("0.05"))
    assert desk.order("r-2", [offer(price="2")], budget_usd=Decimal(1)).intent.lifetime_s == 1800
    store.set_month_cap(Decimal("0.5"))
    assert desk.order("r-3", [offer(price="2")], budget_usd=Decimal(1)).intent.lifetime_s == 900


def test_alarms_are_loudest_first() -> None:
    """What should be gone, what waits for a person, what is in trouble, strangers."""
    late = record(
        made(
            leaving="stopped",
            leaving_at=at(0),
            ends=(EndAsked("i1", 7, at(500)),),
            trouble="status 503",
            trouble_at=at(9),
        )
    )
    dear = record(made(asking_at=at(550), usd_per_hour=Decimal(9)))
    blind = record(made(trouble="alpha is not connected", trouble_at=at(0)))
    alarms = build_alarms([blind, dear, late, record(made())], [Stray("alpha", "x", "ps-x", None, ours=False)], at(600))

    assert [alarm.kind for alarm in alarms] == ["not-gone", "price", "trouble", "stray"]
    assert "10 m ago, was asked to end 7 times" in alarms[0].text
    assert "status 503" in alarms[0].text
    assert alarms[1].text == "alpha asks $9/h and $3/h was agreed. Without an answer it is ended in 4 m 10 s."
