"""Two policies of others on the same seeds, clouds and nodes, written from what their sources and issues say; none of their code is run.

- *Forget* (dstack): a machine is known by the id that create returned; an end that was answered is believed, one that failed is tried every 30 s
  for 15 minutes and then forgotten, and at once where the keys are missing (``pipeline_tasks/instances/termination.py``).
- *Autodown* (SkyPilot): machines are found by their name, and failed ones are ended by it; once a cluster is up its node ends itself when it has
  been idle, but not where the job died early (issues 9815, 5946, 4410). It may do so at every provider: it holds the account's keys.

Both keep their state through a crash, write it down after the call that it is about, and go on with the next offer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft_studio.core.errors import StudioError
from peft_studio.core.ports.rental import Rent
from peft_studio.core.services.rent.label import build_label
from tests.simulator.machine import FOR_EVER_S, Machine
from tests.simulator.scenario import Scenario
from tests.simulator.world import HOME, RUN, STALL_S, World, first_intent

TURN_S = 30.0
START_S = 600.0  # a machine that does not run by then is given up
FORGET_S = 900.0
MOST_TRIES = 6
NEVER_RUNS_S = 90.0


@dataclass
class State:
    """What a peer has written down."""

    phase: str = "buy"
    attempt: int = 0
    label: str = ""
    provider: str = ""
    instance_id: str = ""
    since_s: float = 0.0
    again: bool = False
    up: bool = False


class Peer:
    """One process with one of the policies. ``state`` is on disk: it survives the process."""

    def __init__(self, world: Any, token: str) -> None:
        self.world, self.token, self.frozen = world, token, False
        self.state: State = world.peer_state
        self.due = {"turn": world.clock.true_s}

    def die(self, down_s: float) -> None:
        self.due = {"turn": self.world.clock.true_s + down_s}
        self.world.outages.append((self.world.clock.true_s, self.world.clock.true_s + down_s))

    def step(self, name: str) -> None:
        self.due["turn"] = self.world.clock.true_s + TURN_S
        getattr(self, f"_{self.state.phase}")()

    # -- phases

    def _buy(self) -> None:
        world, state = self.world, self.state
        if state.attempt >= MOST_TRIES or self._stopped():
            state.phase = "over"
            return
        offers = first_intent(world).offers
        offer = offers[state.attempt % len(offers)]
        number = state.attempt + 1
        label = build_label(HOME, RUN, number, ends_at_s=4e9)
        cloud = world.clouds[offer.provider]
        try:
            instance = cloud.submit_job(
                Rent(label, offer, "", 40, settings={"PS_LIFETIME_S": str(world.scenario.lifetime_s)})
            )
        except Exception:  # noqa: BLE001
            self.state.attempt = number
            self._failed_to_buy(cloud, label)
            return
        world.cross("peer.save before")
        state.attempt, state.label, state.provider, state.instance_id = number, label, offer.provider, instance.id
        state.phase, state.since_s, state.up = "watch", world.clock.true_s, False

    def _watch(self) -> None:
        world, state, now_s = self.world, self.state, self.world.clock.true_s
        machine = world.audit.find(state.instance_id)
        machine.settle(now_s)
        if now_s >= machine.running_s and machine.ended_s > now_s and not state.up:
            state.up = True
            self._is_up(machine)
        if machine.completes and machine.trained_s <= min(now_s, machine.ended_s):
            self._leave(again=False)
        elif now_s >= min(machine.ended_s, machine.stopped_s, machine.fails_s):
            self._leave(again=True)
        elif self._stopped() or now_s >= machine.trained_s + STALL_S:
            self._leave(again=False)
        elif not state.up and now_s >= state.since_s + START_S:
            self._leave(again=True)
        elif now_s < machine.trained_s:
            machine.renewed_s = now_s

    def _leave(self, *, again: bool) -> None:
        self.state.again, self.state.since_s, self.state.phase = again, self.world.clock.true_s, "end"
        self._end()

    def _next(self) -> None:
        self.state.phase = "buy" if self.state.again else "over"

    def _over(self) -> None:
        self.world.over = True

    # -- what differs

    def _is_up(self, machine: Machine) -> None:
        """A node of this policy has no brakes of its own."""

    def _failed_to_buy(self, cloud: Any, label: str) -> None:
        """It is believed that nothing was made."""

    def _end(self) -> None:
        world, state = self.world, self.state
        if world.in_window("keys-gone")():
            self._next()
            return
        try:
            world.clouds[state.provider].end_instance(state.instance_id)
            self._next()
        except StudioError:
            if world.clock.true_s - state.since_s >= FORGET_S:
                self._next()

    def _stopped(self) -> bool:
        stop_at_s = self.world.scenario.stop_at_s
        return stop_at_s is not None and self.world.clock.true_s >= stop_at_s


class Autodown(Peer):
    """SkyPilot's."""

    def _is_up(self, machine: Machine) -> None:
        if machine.completes:
            machine.brakes = frozenset({1})

    def _failed_to_buy(self, cloud: Any, label: str) -> None:
        self._end_by_name(cloud, label)

    def _end(self) -> None:
        if self._end_by_name(self.world.clouds[self.state.provider], self.state.label) or (
            self.world.clock.true_s - self.state.since_s >= 3 * TURN_S  # the error is shown; three tries are made
        ):
            self._next()

    def _end_by_name(self, cloud: Any, label: str) -> bool:
        if self.world.in_window("keys-gone")():
            return False
        try:
            for one in cloud.list_instances().instances:
                if one.label == label:
                    cloud.end_instance(one.id)
        except StudioError:
            return False
        return True


def play_peer(scenario: Scenario, kind: type[Peer]) -> World:
    """One launch as a peer would have it."""
    world: Any = World(scenario)
    world.peer_state = State()
    world.make_process = kind
    for cloud in world.clouds.values():
        cloud.on_create = lambda label: None
        cloud.node_brakes = frozenset[int]()
    world.audit.look = lambda: None
    world.play()
    return world  # type: ignore[no-any-return]


def leaked_s(world: World) -> float:
    """Paid time of machines that did nothing for anybody: after training ended or was stopped, or where it never began; the same for all policies."""
    scenario, wanted = world.scenario, 0.0
    for machine in world.audit.machines():
        if machine.whose != "ours":
            continue
        until = machine.created_s + NEVER_RUNS_S if machine.running_s == FOR_EVER_S else machine.trained_s
        if machine.extra:
            until = machine.created_s
        if scenario.stop_at_s is not None:
            until = min(until, scenario.stop_at_s)
        end_s = min(machine.ended_s, machine.stopped_s, world.clock.true_s)
        wanted += max(0.0, end_s - max(until, machine.created_s))
    return wanted
