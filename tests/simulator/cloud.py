"""A provider of machines that misbehaves as its scenario says. It implements ``Rental``; the auditor looks at ``machines``, which is the truth.

Quirks and where they were seen: a create whose reply is lost or that fails after the machine was made (transformerlab 2305), lists that lag,
a stop timer or an end that is answered with 200 and does nothing (runpodctl 330), offers that are not there (parameter-golf 821), 429 in the
middle of a launch (skypilot 2261), outbid machines that stand still and cost storage (Vast.ai's documentation).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from peft_studio.core.errors import BadConnector, Forbidden, RateLimited, SoldOut, Unavailable
from peft_studio.core.ports.rental import Ended, Instance, Instances, InstanceState, Rent
from tests.simulator.clock import Clock
from tests.simulator.machine import FOR_EVER_S, Machine
from tests.simulator.scenario import LEASE_S, NO_OWN_KEY, Scenario

Cross = Callable[[str], None]
ONCE = ("lost-reply", "error-not-made", "made-late", "connector-bug", "phantom", "create-429", "twins")


class Cloud:
    """One provider. ``cross``: called before and after every call, and may end the process that called."""

    info: Any = None
    unsupported: Any = None

    def __init__(self, name: str, scenario: Scenario, clock: Clock, cross: Cross) -> None:
        self.name, self.scenario, self.clock, self.cross = name, scenario, clock, cross
        self.machines: list[Machine] = []
        self.submitted: list[tuple[str, float]] = []
        self.touched: list[str] = []
        self.listed = False
        self.node_brakes: frozenset[int] | None = None  # of a policy whose nodes have others than ours
        self.used: set[str] = set()  # faults that happen once
        self.roll = random.Random(f"{scenario.dice}-{name}")
        self._list_before, self._list_after = f"{name}.list before", f"{name}.list after"
        self._strangers: dict[str, Instance] = {}
        self.on_create: Callable[[str], None] = lambda label: None

    # -- the port

    def connect(self) -> Any:
        raise AssertionError("nobody connects here")

    def list_offers(self, query: Any) -> Any:
        raise AssertionError("nobody looks for offers here")

    def list_instances(self) -> Instances:
        self.cross(self._list_before)
        asked_s = self.clock.true_s
        self._take_time(0.1, 2.0)
        self._refuse_in_window("list-fails", "list-429")
        omit = self.scenario.has("list-omits") and self.roll.random() < 0.05
        found = [
            self._show(machine) if machine.whose == "ours" else self._show_stranger(machine)
            for machine in self.machines
            if self._is_listed(machine, asked_s) and not (omit and machine.whose == "ours")
        ]
        self.listed = True
        self.cross(self._list_after)
        return _whole(tuple(found))

    def submit_job(self, rent: Rent) -> Instance:
        self.cross(f"{self.name}.create before")
        self.on_create(rent.label)
        self.submitted.append((rent.label, self.clock.true_s))
        self._take_time(0.2, 4.0)
        has = self.scenario.has
        if has("not-allowed"):
            raise Forbidden("this key may not rent", status=403)
        if has("sold-out") and self.roll.random() < 0.6:
            raise SoldOut("sold out")
        if self._happens("create-429"):
            raise RateLimited("too many requests", status=429, retry_after_s=self.roll.choice((None, 12.0, 60.0)))
        if self._happens("phantom"):
            raise SoldOut("no such ask")
        if self._happens("error-not-made"):
            raise Unavailable("status 502", status=502, may_have_happened=True)
        if self._happens("made-late"):
            self._make(rent, after_s=self.roll.uniform(1, 30))
            self._take_time(5.0, 25.0)
            raise Unavailable("no answer in 25 s", may_have_happened=True)
        machine = self._make(rent)
        if self._happens("twins"):
            self._make(rent).extra = True
        self.cross(f"{self.name}.create after")
        if self._happens("lost-reply"):
            self._take_time(5.0, 25.0)
            raise Unavailable("no answer in 25 s", may_have_happened=True)
        if self._happens("connector-bug"):
            raise self.roll.choice(
                (KeyError("id"), BadConnector("it failed"), Unavailable("it has not answered within 60 s"))
            )
        return self._show(machine)

    def end_instance(self, instance_id: str) -> Ended:
        self.cross(f"{self.name}.end before")
        self._take_time(0.1, 3.0)
        self._refuse_in_window("end-fails", "end-429")
        machine = next((one for one in self.machines if one.id == instance_id), None)
        if machine is None or machine.ended_s <= self.clock.true_s:
            self.cross(f"{self.name}.end after")
            return Ended(known=False)
        machine.settle(self.clock.true_s)
        machine.asked_to_end += machine.ended_s == FOR_EVER_S
        self.touched.append(instance_id)
        if machine.ended_s == FOR_EVER_S:
            if machine.ignored > 0:
                machine.ignored -= 1
            else:
                machine.ended_s, machine.ended_by = self.clock.true_s, "home"
        self.cross(f"{self.name}.end after")
        if self._happens("end-done-but-error"):
            raise Unavailable("status 500", status=500, may_have_happened=True)
        return Ended()

    # -- what is behind it

    def add(self, machine: Machine) -> Machine:
        """A machine that is there whatever we do."""
        self.machines.append(machine)
        return machine

    def settle(self, now_s: float) -> None:
        """Let all that happens by itself happen."""
        for machine in self.machines:
            machine.settle(now_s)

    def _make(self, rent: Rent, *, after_s: float = 0.0) -> Machine:
        scenario, begin_s = self.scenario, self.clock.true_s + after_s
        price = rent.offer.usd_per_hour
        if scenario.has("dearer") and "dearer" not in self.used:
            self.used.add("dearer")
            price *= scenario.dearer
        running_s = begin_s + scenario.boot_s
        ready_s = running_s + scenario.install_s
        never = self._happens("never-boots")
        fails = self._happens("fails-at-boot")
        stalls = self._happens("frozen-trainer")
        prices = [(begin_s, price)]
        if self._happens("dearer-later"):
            prices.append((ready_s + scenario.train_s / 2, price * scenario.dearer))
        if never or fails:
            running_s = ready_s = FOR_EVER_S
        trained_s = ready_s + (scenario.stall_after_s if stalls else scenario.train_s)
        brakes = (
            {1, 2} - ({1} if scenario.has("brake-1-off") else set()) - ({2} if scenario.has("brake-2-off") else set())
        )
        machine = Machine(
            f"{self.name}-{len(self.machines)}", rent.label, self.name, begin_s, prices, running_s, ready_s, trained_s,
            lifetime_s=float(rent.settings["PS_LIFETIME_S"]), ignored=scenario.ignored,
            brakes=frozenset() if self.name == NO_OWN_KEY else frozenset(brakes), completes=not stalls,
            keep_s=float(rent.settings.get("PS_KEEP_S", LEASE_S)),
            fails_s=begin_s + scenario.boot_s if fails else FOR_EVER_S,
            taken_s=begin_s + scenario.preempt_after_s if self._happens("preempted") else FOR_EVER_S,
            stopped_s=begin_s + scenario.preempt_after_s if self._happens("stopped-by-host") else FOR_EVER_S,
        )  # fmt: skip
        if self.node_brakes is not None:
            machine.brakes = self.node_brakes
        if machine.stopped_s < FOR_EVER_S:
            machine.completes = machine.completes and machine.trained_s <= machine.stopped_s
            machine.trained_s = min(machine.trained_s, machine.stopped_s)
            machine.brakes = frozenset()  # its node stands still; what is left costs storage
        return self.add(machine)

    def _show(self, machine: Machine) -> Instance:
        at_s = self.clock.true_s
        state, billed = InstanceState.PROVISIONING, "all"
        if at_s >= machine.ended_s:
            state = InstanceState.ENDING
        elif at_s >= machine.stopped_s:
            state, billed = InstanceState.STOPPED, "storage"
        elif at_s >= machine.fails_s:
            state = InstanceState.FAILED
        elif at_s >= machine.running_s:
            state = InstanceState.RUNNING
        elif at_s >= machine.created_s + self.scenario.boot_s / 2:
            state = InstanceState.BOOTING
        return _instance(machine.id, machine.label, state, billed, machine.price_at(max(at_s, machine.created_s)))

    def _show_stranger(self, machine: Machine) -> Instance:
        """One that was there before and stays as it is until its end is asked for."""
        if machine.ended_s < FOR_EVER_S:
            return self._show(machine)
        if machine.id not in self._strangers:
            self._strangers[machine.id] = self._show(machine)
        return self._strangers[machine.id]

    def _is_listed(self, machine: Machine, asked_s: float) -> bool:
        lag_s = self.scenario.lag_s
        if machine.ended_s + lag_s <= asked_s or machine.created_s + lag_s > asked_s:
            return False
        machine.settle(asked_s)
        return asked_s < machine.ended_s + lag_s

    def _happens(self, fault: str) -> bool:
        if not self.scenario.has(fault) or fault in self.used:
            return False
        self.used.add(fault)
        return True

    def _refuse_in_window(self, fails: str, limited: str) -> None:
        begin_s, end_s = self.scenario.window
        if not begin_s <= self.clock.true_s < end_s:
            return
        if self.scenario.has(fails):
            self._take_time(1.0, 20.0)
            raise Unavailable("status 503", status=503, may_have_happened=True)
        if self.scenario.has(limited):
            raise RateLimited("too many requests", status=429, retry_after_s=None)

    def _take_time(self, low_s: float, high_s: float) -> None:
        self.clock.advance(self.roll.uniform(low_s, high_s))


@lru_cache(maxsize=4096)
def _instance(id: str, label: str, state: InstanceState, billed: Any, usd_per_hour: Decimal) -> Instance:
    """A value as a connector makes it; those that are equal are one, because checking their fields is most of what a simulated call costs."""
    return Instance(id=id, label=label, state=state, billed=billed, usd_per_hour=usd_per_hour)


def _whole(instances: tuple[Instance, ...]) -> Instances:
    """A list of values that were checked when they were made."""
    whole = Instances.__new__(Instances)
    object.__setattr__(whole, "__dict__", {"instances": instances})
    return whole
