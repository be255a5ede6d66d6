"""Plays one scenario: the home's processes, its user, the clouds and their nodes, one event after the other. Deterministic."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from peft_studio.core.errors import Unavailable, VaultLocked
from peft_studio.core.ports.offers import Offer
from peft_studio.core.ports.rental import Rent
from peft_studio.core.services.rent import keeper as keepers
from peft_studio.core.services.rent.goodbye import Goodbye
from peft_studio.core.services.rent.record import Intent, Record
from peft_studio.core.services.rent.replies import build_intent
from tests.simulator.audit import Audit
from tests.simulator.clock import BEGIN_S, Clock
from tests.simulator.cloud import Cloud
from tests.simulator.machine import FOR_EVER_S, Machine
from tests.simulator.memory_store import MemoryStore
from tests.simulator.scenario import LEASE_S, PROVIDERS, Scenario

RUN = "r-20260921-120000-abcdef"
HOME, OTHER_HOME = "aaaaaa", "bbbbbb"
HORIZON_S = 3 * 86_400.0
DRIVER_S = 15.0
STALL_S = 300.0  # shorter than the rule of the product, so that stopping and saving lie within the lease, too
WAKE_S = 2.0  # what is said to the store is seen so soon by whoever watches (``reconciler.LOOK_S``)


class Crash(BaseException):
    """The process is killed here."""


class World:
    """One launch and all that happens to it. ``audit`` says what was broken; ``trace`` what was done, where it is asked for."""

    def __init__(
        self, scenario: Scenario, *, store: Callable[[Callable[[str], None]], Any] | None = None, trace: bool = False
    ) -> None:
        self.scenario, self.clock = scenario, Clock()
        self.crossed = 0
        self.current: Any = None
        self.trace: list[str] | None = [] if trace else None
        names = [name for name in PROVIDERS if name in {offer for offer, _ in scenario.offers}]
        self.clouds = {name: Cloud(name, scenario, self.clock, self.cross) for name in names}
        self.store = store(self.cross) if store else MemoryStore(HOME, self.cross)
        self.audit = Audit(self)
        self.processes: list[Any] = []
        self.make_process: Callable[[World, str], Any] = Process
        self.over = self.gone = False
        self.outages: list[tuple[float, float]] = []  # when nobody of the home was there
        self.stepped = self.froze_in_send = False
        self.may_interrupt = scenario.clock_step_s or scenario.off_at_s is not None or scenario.gone_at_s is not None
        self.store.set_month_cap(scenario.month_cap_usd)
        self.store.full = self.in_window("disk-full")
        for cloud in self.clouds.values():
            cloud.on_create = self.audit.on_create
        self._add_strangers()

    # -- what may happen at any boundary

    def cross(self, what: str) -> None:
        """A boundary: a durable write or a call to a provider begins or ends here. The process may die, or freeze."""
        process = self.current
        if process is None:
            return
        number = self.crossed
        self.crossed += 1
        if self.trace is not None:
            self.say(f"{number:4} {process.token} {what}")
        if number in self.scenario.crashes:
            raise Crash(what)
        if number == self.scenario.freeze_at:
            self.current = None
            process.frozen = True
            self.froze_in_send |= what.endswith("create before")
            self.run_until(self.clock.true_s + self.scenario.freeze_s)
            process.frozen = False
            self.current = process

    def in_window(self, fault: str) -> Callable[[], bool]:
        """Whether a fault that has a time of its own is on."""
        begin_s, end_s = self.scenario.window
        if not self.scenario.has(fault):
            return lambda: False
        return lambda: begin_s <= self.clock.true_s < end_s

    def say(self, text: str) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.clock.true_s:9.1f} {text}")

    # -- the loop

    def play(self) -> Audit:
        """From the launch until all is proven gone, or three days have passed."""
        self.start_processes()
        self.run_until(HORIZON_S)
        self.clock.true_s = max(self.clock.true_s, HORIZON_S if not self.over else 0.0)
        for cloud in self.clouds.values():
            cloud.settle(self.clock.true_s)
        self.audit.close()
        return self.audit

    def start_processes(self) -> None:
        """The notebook, and where there are two the process that watches."""
        scenario = self.scenario
        count = 2 if scenario.has("two-workers") or scenario.has("frozen-worker") else 1
        for number in range(count):
            self.processes.append(self.make_process(self, f"p{number}"))

    def run_until(self, end_s: float) -> None:
        """Let every process that is not frozen do what is due."""
        while not self.over and self.clock.true_s < end_s:
            at_s, process, name = FOR_EVER_S, None, ""
            for one in self.processes:
                if not one.frozen:
                    for what, due in one.due.items():
                        if due < at_s:
                            at_s, process, name = due, one, what
            if process is None or at_s >= end_s:
                self.clock.true_s = max(self.clock.true_s, end_s)
                return
            self.clock.true_s = max(self.clock.true_s, at_s)
            self._interrupt()
            if process in self.processes and process.due.get(name, FOR_EVER_S) <= self.clock.true_s:
                self._run(process, name)

    def wake(self, provider: str) -> None:
        """Something was said of a machine there: whoever watches and lives looks soon."""
        soon_s = self.clock.true_s + WAKE_S
        for process in self.processes:
            if process.due.get(provider, soon_s) > soon_s:
                process.due[provider] = soon_s

    def let_go(self, machine: Machine) -> None:
        """Its node hears that nobody wants it, and asks for its end with its own key; a provider that ignores home ignores it, too."""
        machine.let_go_s = min(machine.let_go_s, self.clock.true_s)

    def _interrupt(self) -> None:
        """What the laptop's owner does to it."""
        scenario, now_s = self.scenario, self.clock.true_s
        if not self.may_interrupt:
            return
        if scenario.clock_step_s and not self.stepped and now_s >= scenario.clock_step_at_s:
            self.stepped, self.clock.step_s = True, scenario.clock_step_s
        if scenario.off_at_s is not None and now_s >= scenario.off_at_s and not self.gone:
            wake_s, self.gone = now_s + scenario.off_for_s, True
            self.outages.append((now_s, wake_s))
            for process in self.processes:
                process.due = {name: max(due, wake_s) for name, due in process.due.items()}
        if scenario.gone_at_s is not None and now_s >= scenario.gone_at_s and self.processes:
            self.outages.append((now_s, FOR_EVER_S))
            self.processes.clear()

    def _run(self, process: Process, name: str) -> None:
        outer, self.current = self.current, process
        try:
            process.step(name)
        except Crash as crash:
            self.say(f"     {process.token} killed at {crash}")
            process.die(self.scenario.down_s[0 if self.crossed <= (*self.scenario.crashes, 0)[0] + 1 else 1])
        finally:
            self.current = outer
        self.audit.look()

    def _add_strangers(self) -> None:
        """Machines that are not of this home: none of its business, but for one that has outlived itself."""
        for cloud in self.clouds.values():
            for number, label in enumerate(("", "my-server", f"ps-{OTHER_HOME}-{RUN}-1-{int(4e9):08x}")):
                cloud.add(build_stranger(cloud, f"x{number}", label))
        if self.scenario.overdue_stranger:
            cloud.add(build_stranger(cloud, "overdue", f"ps-{OTHER_HOME}-{RUN}-2-{int(1.7e9):08x}", whose="overdue"))


def build_stranger(cloud: Cloud, name: str, label: str, *, whose: str = "other") -> Machine:
    """A machine of somebody else."""
    return Machine(
        f"{cloud.name}-{name}", label, cloud.name, -1e4, [(-1e4, Decimal(1))], -1e4, -1e4, FOR_EVER_S,
        lifetime_s=FOR_EVER_S, brakes=frozenset(), whose=whose,
    )  # fmt: skip


class Process:
    """One process of the home: its keepers, and the run-level that follows the run and obeys its user."""

    def __init__(self, world: World, token: str) -> None:
        self.world, self.frozen = world, False
        self.token = self.name = token
        self.lives = 0
        self.due: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """As a new process does: it knows what is on disk and nothing else."""
        world = self.world
        self.token = f"{self.name}.{self.lives}"
        self.goodbye = Goodbye(self._reach, world.clock.now)
        self.lives += 1
        self.keepers = {
            name: keepers.Keeper(
                name, world.store, rentals=self._rentals, build_rent=self._build_rent, token=self.token, now=world.clock.now
            )
            for name in world.clouds
        }  # fmt: skip
        now_s = world.clock.true_s
        # A process that comes back looks at its providers before it hears from its machines.
        self.due = {"run": now_s + (5.0 if self.lives > 1 else 0.0), **dict.fromkeys(world.clouds, now_s + 0.01)}

    def die(self, down_s: float) -> None:
        """Killed; started again some time later, after a reboot where that is the scenario."""
        world = self.world
        if world.scenario.has("reboot"):
            world.clock.boots += 1
        self.due = {"start": world.clock.true_s + down_s}
        if world.processes and all("start" in one.due for one in world.processes):
            world.outages.append((world.clock.true_s, min(one.due["start"] for one in world.processes)))

    def step(self, name: str) -> None:
        """Do what is due."""
        world = self.world
        if name == "start":
            self.start()
            return
        if name == "run":
            self.due[name] = world.clock.true_s + self._follow()
        else:
            keeper = self.keepers[name]
            try:
                wait_s = keeper.turn()
            except keepers.RentError:  # the runner says it and goes on
                wait_s = 10.0
            self.due[name] = world.clock.true_s + wait_s
        open_at = {record.intent.provider for record in world.store.list_open()}
        if not open_at and world.audit.run_is_over():
            world.over = True
        for other in self.keepers:
            if other not in open_at:
                self.due[other] = FOR_EVER_S
            elif self.due[other] == FOR_EVER_S:
                self.due[other] = world.clock.true_s

    def _rentals(self) -> Mapping[str, Any]:
        return {} if self.world.in_window("keys-gone")() else self.world.clouds

    def _build_rent(self, intent: Intent) -> Rent:
        scenario = self.world.scenario
        if scenario.has("vault-locked") and self.world.clock.true_s < scenario.window[1] - scenario.window[0]:
            raise VaultLocked("the vault is locked")
        assert intent.offer is not None
        settings = {"PS_LIFETIME_S": str(intent.lifetime_s), "PS_KEEP_S": str(intent.keep_s)}
        return Rent(intent.label, intent.offer, "#!/bin/sh", intent.disk_gib, settings=settings)

    # -- the run-level and its user

    def _answers(self, machine: Machine) -> bool:
        """Whether its node runs, and so its door."""
        now_s = self.world.clock.true_s
        machine.settle(now_s)
        return machine.running_s <= now_s < min(machine.ended_s, machine.stopped_s)

    def _reach(self, record: Record) -> Any:
        machine = self.world.audit.find(record.done.instance_id)
        if machine is None:
            return None
        if not self._answers(machine):
            raise Unavailable("nobody answers there")
        return Line(self.world, machine)

    def _follow(self) -> float:
        world, scenario = self.world, self.world.scenario
        try:
            records = world.store.list_run(RUN)
            if not records:
                with contextlib.suppress(ValueError):  # the other process was quicker
                    world.store.put(first_intent(world))
                return DRIVER_S
            record = records[-1]
            if record.open:
                self._obey(record)
                self._look_at_node(record)
                self.goodbye.say(record)
                if world.store.find(record.label).wish != record.wish:
                    world.wake(record.intent.provider)
        except keepers.RentError:
            return DRIVER_S
        stop_in_s = FOR_EVER_S if scenario.stop_at_s is None else scenario.stop_at_s - world.clock.true_s
        wait_s = 2 * DRIVER_S if record.wish.ready and record.done.leaving is None else DRIVER_S
        return stop_in_s if 0 < stop_in_s < wait_s else wait_s

    def _obey(self, record: Record) -> None:
        world, scenario = self.world, self.world.scenario
        if record.wish.end is not None:
            return
        if scenario.stop_at_s is not None and world.clock.true_s >= scenario.stop_at_s:
            world.audit.end_wanted(record.label)
            world.store.wish_end(record.label, "stopped")
        elif record.done.asking_at is not None and scenario.agrees is not None:
            if world.clock.now().past(record.done.asking_at) < scenario.agrees_after_s:
                return
            if scenario.agrees and record.done.usd_per_hour is not None:
                world.store.wish_price(record.label, record.done.usd_per_hour)
            else:
                world.audit.end_wanted(record.label)
                world.store.wish_end(record.label, "stopped")

    def _look_at_node(self, record: Record) -> None:
        world, scenario, now_s = self.world, self.world.scenario, self.world.clock.true_s
        machine = world.audit.find(record.done.instance_id)
        if machine is None or record.wish.end is not None or record.done.leaving is not None:
            return
        if not self._answers(machine):
            return
        stalled = not machine.completes and machine.saved_s == FOR_EVER_S and now_s >= machine.trained_s
        if now_s >= machine.trained_s and machine.completes:
            world.audit.trained = True
            world.audit.end_wanted(record.label)
            world.store.wish_end(record.label, "completed")
            world.let_go(machine)
            return
        if record.done.saving is not None and machine.stopping_s == FOR_EVER_S:
            machine.stop_and_save(now_s, scenario.save_s)
        if now_s >= machine.saved_s:
            world.let_go(machine)
            world.audit.end_wanted(record.label)
            world.store.wish_end(record.label, record.done.saving or "stopped")
        elif stalled and now_s >= machine.trained_s + STALL_S and record.wish.idle != "stop":
            world.store.wish_idle(record.label, "stop")
        elif not stalled:
            machine.renewed_s = now_s
            moved_at = record.wish.moved_at
            if not record.wish.ready or moved_at is None or world.clock.now().past(moved_at) >= LEASE_S / 2:
                world.store.wish_moved(record.label, world.clock.now(), ready=now_s >= machine.ready_s)


class Line:
    """The way to a machine's node, so far as a goodbye needs it."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine

    def let_go(self) -> None:
        self._world.let_go(self._machine)

    def close(self) -> None:
        """Nothing is held."""


@lru_cache(maxsize=4096)
def build_offer(number: int, provider: str, usd_per_hour: Decimal) -> Offer:
    """A machine on sale."""
    seen_at = datetime.fromtimestamp(BEGIN_S, UTC)
    return Offer(
        id=f"o{number}", provider=provider, gpu="RTX 4090", gpu_count=1, usd_per_hour=usd_per_hour, seen_at=seen_at
    )


def first_intent(world: World) -> Intent:
    """What a user who presses the button has written down."""
    scenario = world.scenario
    offers = tuple(build_offer(number, *offer) for number, offer in enumerate(scenario.offers))
    draft = Intent(
        "", RUN, 1, offers[0].provider, world.clock.now(), offers, max_usd_per_hour=scenario.ceiling,
        budget_usd=scenario.budget_usd, lifetime_s=scenario.lifetime_s, keep_s=scenario.keep_s,
    )  # fmt: skip
    left = [usd for usd in (scenario.budget_usd, scenario.month_cap_usd) if usd is not None]
    return build_intent(replace(draft), home=HOME, left_usd=min(left) if left else None)
