"""The state of a run: a pure fold over its events, and how it stands now given what is known of its agent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import singledispatch

from peft_studio.core.runs import events as ev

STATES = (
    "queued", "provisioning", "preparing", "training", "evaluating", "saving", "completed", "stopped", "failed", "lost",
)  # fmt: skip
TERMINAL = frozenset({"completed", "stopped", "failed"})
LIVE = frozenset(STATES) - TERMINAL - {"lost"}

HEARTBEAT_S = 2.0
STALE_S = 3 * HEARTBEAT_S  # three missed heartbeats: the state word is replaced by "last heard …"


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """A phase the run has entered. ``ended_at`` is None while it lasts. Times in seconds since 1970."""

    phase: str
    began_at: float
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything the events say. ``state`` is as of the last event; see :func:`standing` for what to show."""

    state: str = "queued"
    detail: str = ""
    name: str = ""
    created_at: float = 0.0
    last_at: float = 0.0
    last_seq: int = 0
    job: int = 1
    from_step: int = 0
    phases: tuple[PhaseTime, ...] = ()
    plan: ev.Planned | None = None
    devices: ev.DevicesTaken | None = None
    probe: ev.Probed | None = None
    environment: dict[str, str | int | float | None] = field(default_factory=dict)
    checkpoints: tuple[ev.CheckpointSaved, ...] = ()
    evaluations: tuple[ev.Evaluated, ...] = ()
    samples: tuple[ev.Sampled, ...] = ()
    warnings: tuple[ev.Warned, ...] = ()
    adapter: ev.AdapterSaved | None = None
    failure: ev.Failure | None = None
    stop_requested: ev.StopRequested | None = None
    machine: ev.MachineRented | None = None

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def trains_on(self) -> str | None:
        """``2 × A100, FSDP``, or ``cpu``; None while it is not known."""
        if self.devices and self.devices.processes > 1:
            return self.devices.words
        return self.plan.device if self.plan else None


def fold(events: Iterable[ev.Event], state: RunState | None = None) -> RunState:
    """The state after these events, starting from an earlier one where given."""
    now = state or RunState()
    for event in events:
        now = replace(apply(event, now), last_seq=event.seq, last_at=event.at)
    return now


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands now. ``state`` may be ``lost``; ``heard_s`` is the age of the last sign of life of a live run, in seconds.

    ``trouble``: what keeps its files from being written here, while it goes on elsewhere.
    """

    state: str
    heard_s: float | None
    trouble: str = ""

    @property
    def stale(self) -> bool:
        """Three heartbeats missed: show "last heard …" instead of the state word."""
        return self.heard_s is not None and self.heard_s > STALE_S


def standing(state: RunState, *, agent_alive: bool, heard_at: float | None, now: float) -> Standing:
    """What may be shown. A live state without a living agent is ``lost``; a silent agent makes it stale."""
    if state.is_terminal:
        return Standing(state.state, None)
    said_at = (
        state.last_at if state.last_at <= now or heard_at is None else 0.0
    )  # by a clock elsewhere, which may be ahead of ours
    heard_s = max(0.0, now - max(heard_at or 0.0, said_at))
    return Standing(state.state if agent_alive else "lost", heard_s)


@singledispatch
def apply(event: ev.Event, state: RunState) -> RunState:
    """The state after one event. Types that change nothing, or that are unknown, leave it as it is."""
    return state


@apply.register
def _(event: ev.Created, state: RunState) -> RunState:
    return replace(state, name=event.name, created_at=event.at)


@apply.register
def _(event: ev.JobStarted, state: RunState) -> RunState:
    # A resume goes back to the checkpoint: what came after it is no longer part of this run's past.
    step = event.from_step
    return replace(
        state, state="queued", detail="", job=event.job, from_step=step, failure=None, stop_requested=None, adapter=None,
        phases=_closed(state.phases, event.at),
        checkpoints=tuple(c for c in state.checkpoints if c.step <= step),
        evaluations=tuple(e for e in state.evaluations if e.step <= step),
        samples=tuple(s for s in state.samples if s.step <= step),
        warnings=tuple(w for w in state.warnings if w.step <= step),
    )  # fmt: skip


@apply.register
def _(event: ev.PhaseEntered, state: RunState) -> RunState:
    phases = (*_closed(state.phases, event.at), PhaseTime(event.phase, event.at))
    return replace(state, state=ev.PHASES.get(event.phase, state.state), detail=event.detail, phases=phases)


@apply.register
def _(event: ev.MachineRented, state: RunState) -> RunState:
    if state.is_terminal:  # it was resumed
        state = replace(state, state="provisioning", failure=None, stop_requested=None)
    return replace(state, machine=event)


@apply.register
def _(event: ev.Environment, state: RunState) -> RunState:
    return replace(state, environment=event.facts)


@apply.register
def _(event: ev.DevicesTaken, state: RunState) -> RunState:
    return replace(state, devices=event)


@apply.register
def _(event: ev.Planned, state: RunState) -> RunState:
    return replace(state, plan=event)


@apply.register
def _(event: ev.Probed, state: RunState) -> RunState:
    return replace(state, probe=event)


@apply.register
def _(event: ev.CheckpointSaved, state: RunState) -> RunState:
    return replace(state, checkpoints=(*state.checkpoints, event))


@apply.register
def _(event: ev.Evaluated, state: RunState) -> RunState:
    return replace(state, evaluations=(*state.evaluations, event))


@apply.register
def _(event: ev.Sampled, state: RunState) -> RunState:
    return replace(state, samples=(*state.samples, event))


@apply.register
def _(event: ev.Warned, state: RunState) -> RunState:
    return replace(state, warnings=(*state.warnings, event))


@apply.register
def _(event: ev.StopRequested, state: RunState) -> RunState:
    return replace(state, stop_requested=event)


@apply.register
def _(event: ev.AdapterSaved, state: RunState) -> RunState:
    return replace(state, adapter=event)


@apply.register
def _(event: ev.Finished, state: RunState) -> RunState:
    return replace(state, state=event.state, detail="", failure=event.failure, phases=_closed(state.phases, event.at))


def _closed(phases: tuple[PhaseTime, ...], at: float) -> tuple[PhaseTime, ...]:
    if phases and phases[-1].ended_at is None:
        return (*phases[:-1], replace(phases[-1], ended_at=at))
    return phases
