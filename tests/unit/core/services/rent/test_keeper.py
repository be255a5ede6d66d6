"""One provider's turn, in cases that are easier to see alone than in the simulator."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from peft_studio.core.errors import Forbidden, RentError, Unavailable, VaultLocked
from peft_studio.core.ports.rental import Ended, Instances, Rent
from peft_studio.core.services.rent.keeper import Keeper
from peft_studio.core.services.rent.label import build_label
from peft_studio.core.services.rent.moment import Moment
from peft_studio.core.services.rent.record import Intent
from peft_studio.core.services.rent.sweep import adopt, find_strays
from tests.simulator.memory_store import MemoryStore
from tests.unit.core.services.rent.world import HOME, LABEL, at, intent, machine


class Account:
    """What was asked of a provider, and what it has."""

    def __init__(self) -> None:
        self.machines: list[Any] = []
        self.asked: list[str] = []
        self.fails: Exception | None = None

    def list_instances(self) -> Instances:
        if self.fails is not None:
            raise self.fails
        return Instances(instances=tuple(self.machines))

    def submit_job(self, rent: Rent) -> Any:
        self.asked.append(f"create {rent.label}")
        self.machines.append(machine())
        return self.machines[-1]

    def end_instance(self, instance_id: str) -> Ended:
        self.asked.append(f"end {instance_id}")
        return Ended()


class Bench:
    """A keeper on a bench: its store, its provider, its clock."""

    def __init__(self) -> None:
        self.store, self.account, self.at_s = MemoryStore(HOME, lambda what: None), Account(), 1.0
        self.rentals: dict[str, Any] = {"alpha": self.account}
        self.locked = False
        self.keeper = Keeper(
            "alpha", self.store, rentals=lambda: self.rentals, build_rent=self._build, token="t", now=self._now
        )
        self.store.put(intent())

    def _now(self) -> Moment:
        return at(self.at_s)

    def _build(self, wanted: Intent) -> Rent:
        if self.locked:
            raise VaultLocked("The vault is locked.")
        assert wanted.offer is not None
        return Rent(wanted.label, wanted.offer, "", 40)

    def turn(self, at_s: float) -> float:
        self.at_s = at_s
        return self.keeper.turn()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_full_disk_stops_no_end(bench: Bench) -> None:
    """What is on disk says that it is to go, so it is asked to go, though nothing more can be written; the trouble is said."""
    bench.turn(1)
    bench.store.wish_end(LABEL, "stopped")
    bench.store.full = lambda: True
    bench.turn(20)
    assert bench.account.asked == [f"create {LABEL}"]  # nobody could take the record: that needs the disk, too
    bench.store.full = lambda: False

    def write(*args: Any, **known: Any) -> Any:
        raise RentError("the disk is full")

    bench.store.write = write  # type: ignore[method-assign]
    bench.turn(40)
    assert bench.account.asked[1:] == ["end i1"] * len(bench.account.asked[1:])
    assert len(bench.account.asked) > 1


def test_keys_that_are_gone_are_said_and_nothing_is_forgotten(bench: Bench) -> None:
    """Whatever the provider raises, too."""
    bench.turn(1)
    bench.store.wish_end(LABEL, "stopped")
    bench.rentals = {}
    bench.turn(20)
    assert "not connected" in bench.store.records[LABEL].done.trouble
    bench.rentals, bench.account.fails = {"alpha": bench.account}, Forbidden("this key may not")
    for second in range(40, 4000, 30):
        bench.turn(second)
    record = bench.store.records[LABEL]
    assert record.open
    assert record.done.trouble == "this key may not"
    assert bench.account.asked.count("end i1") > 10  # by its id, though no list can be had
    bench.account.fails, bench.account.machines = None, []
    for second in range(4400, 4700, 30):
        bench.turn(second)
    assert not bench.store.records[LABEL].open


def test_two_processes_that_take_on_the_same_stray_do_not_fall_over_each_other(bench: Bench) -> None:
    """The other one writes its record between this one's look and its own: seed 10080517."""
    label = build_label("bbbbbb", "r-20260921-120000-abcdef", 2, ends_at_s=1.7e9)
    bench.account.machines.append(machine("i9", label))
    stray = find_strays("alpha", bench.account.machines, home=HOME)[0]
    real_find, looks = bench.store.find, list[str]()

    def find(wanted: str) -> Any:
        found = real_find(wanted)
        looks.append(wanted)
        if looks.count(label) == 2 and found is None:
            bench.store.put(adopt(stray, at(1)))
        return found

    bench.store.find = find  # type: ignore[method-assign]
    bench.turn(1)
    bench.turn(20)
    assert "end i9" in bench.account.asked


@pytest.mark.parametrize("billed", ["nothing", "storage"])
def test_what_was_asked_long_ago_flatters_no_bill(bench: Bench, billed: str) -> None:
    """This process froze between its question and the answer, while the machine worked on: it is owed until the answer. Seed 30047203."""
    bench.turn(1)
    bench.turn(20)
    (kept,) = bench.account.machines
    bench.store.wish_end(LABEL, "stopped")
    bench.turn(50)
    real_list = bench.account.list_instances

    def list_late() -> Instances:
        bench.at_s, bench.account.machines = 2000, [kept.model_copy(update={"billed": billed})][: billed != "nothing"]
        return real_list()

    bench.account.list_instances = list_late  # type: ignore[method-assign]
    bench.turn(170)
    bench.account.list_instances, bench.account.machines = real_list, []  # type: ignore[method-assign]
    for second in range(2100, 2500, 30):
        bench.turn(second)
    record = bench.store.records[LABEL]
    assert not record.open
    less = next(one for one in bench.store.read_meter() if one.billed != "all")
    assert (less.billed, less.at_s) == (billed, record.billed_at_s(at(2000)))


def test_a_higher_price_counts_from_the_question(bench: Bench) -> None:
    """Nobody knows when it rose, between that and the answer."""
    bench.turn(1)
    dear = machine(price="3")

    def list_late() -> Instances:
        bench.at_s = 2000
        return Instances(instances=(dear,))

    bench.account.list_instances = list_late  # type: ignore[method-assign]
    bench.turn(170)
    assert [(one.usd_per_hour, one.at_s) for one in bench.store.read_meter()][-1] == (3, at(170).wall_s)


def test_a_provider_that_takes_long_to_refuse_an_end_is_looked_at_again_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second of that name does not go; the one that is kept gets on, and by an old list it would not."""

    def refuse(instance_id: str) -> Ended:
        bench.account.asked.append(f"end {instance_id}")
        bench.at_s += 20
        raise Unavailable("status 503", status=503)

    monkeypatch.setattr(bench.account, "end_instance", refuse)
    bench.turn(1)
    bench.account.machines = [machine(state="booting"), machine("i2")]
    assert bench.turn(10) == 1.0
    assert bench.account.asked[1:] == ["end i2"] * 2
    bench.account.machines = [machine(), machine("i2")]
    bench.turn(bench.at_s + 1)
    record = bench.store.find(LABEL)
    assert record
    assert (record.done.rank, record.done.leaving) == (3, None)


def test_a_locked_vault_buys_nothing_and_is_asked_again(bench: Bench) -> None:
    """Nothing was asked for, so nothing is in doubt."""
    bench.locked = True
    bench.turn(1)
    assert bench.store.records[LABEL].done.asked_at is None
    assert "vault" in bench.store.records[LABEL].done.trouble
    bench.locked = False
    bench.turn(30)
    assert bench.account.asked == [f"create {LABEL}"]


def test_a_worker_that_was_frozen_before_the_create_does_not_send_it(bench: Bench) -> None:
    """Somebody else has taken the attempt on by then."""
    real = bench.store.write

    def write(*args: Any, **known: Any) -> Any:
        written = real(*args, **known)
        bench.at_s += 11
        return written

    bench.store.write = write  # type: ignore[method-assign]
    bench.turn(1)
    assert bench.account.asked == []


def test_what_a_worker_bought_while_it_was_frozen_comes_to_light(bench: Bench) -> None:
    """The others had given the order up; what its sending made all the same is ended."""
    submit = bench.account.submit_job

    def freeze(rent: Rent) -> Any:
        bench.at_s = 400
        record = bench.store.claim(LABEL, "another", at(400), hold_s=90)
        assert record
        done = replace(record.done, leaving="never-made", closed_at=at(399))
        bench.store.write(record, "another", done)
        bench.store.release(LABEL, "another")
        return submit(rent)

    bench.account.submit_job = freeze  # type: ignore[method-assign]
    bench.turn(1)
    bench.turn(410)
    assert bench.account.asked == [f"create {LABEL}", "end i1"]


def test_its_price_is_metered_from_the_moment_it_was_asked_for(bench: Bench) -> None:
    """And at the price that the provider says."""
    bench.turn(1)
    bench.account.machines = [machine(price="2.5")]
    bench.turn(30)
    (first, second) = bench.store.read_meter()

    assert (first.at_s, first.usd_per_hour) == (at(1).wall_s, Decimal(2))
    assert (second.at_s, second.usd_per_hour) == (at(30).wall_s, Decimal("2.5"))
