"""The typed, numbered events of a run. The log of them is the truth; everything else is a fold over it.

One writer per run: the agent. ``seq`` counts from 1 without gaps over the whole life of the run, resumes included; ``job`` is the
execution it belongs to (1 is the first, a resume makes 2). An event of a type this version does not know reads as plain :class:`Event`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from peft_studio.core.runs.failure_record import Failure as Failure
from peft_studio.core.runs.failure_record import Suggestion as Suggestion

# Phases in the order in which a run passes them, and the state that each one shows as.
PHASES: dict[str, str] = {
    "requested": "provisioning",  # a machine is being asked for, elsewhere
    "provisioning": "provisioning",
    "booting": "provisioning",
    "sending": "provisioning",  # spec, rows and our package on their way to it
    "installing": "provisioning",
    "queued": "queued",  # for its turn on its machine, also on one elsewhere
    "loading": "preparing",  # the base model, and the adapter around it
    "reading": "preparing",  # rows → tokens
    "training": "training",
    "evaluating": "evaluating",
    "saving": "saving",  # write the adapter, load it once, hash it
    "fetching": "saving",  # what it made comes home
}

ELSEWHERE = frozenset({"requested", "provisioning", "booting", "sending", "installing", "fetching"})
"""Phases that a run on this machine never enters."""

Level = Literal["debug", "info", "warning", "error"]


_KINDS: dict[str, type[BaseModel]] = {}


class Event(BaseModel):
    """One line of the log."""

    # A loss may be NaN; plain JSON has no word for it and null would not be read back as a number.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")
    type: str
    seq: int = Field(default=0, ge=0)
    at: float = Field(default=0.0, description="Seconds since 1970, UTC.")
    job: int = 1

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        _KINDS[cls.model_fields["type"].default] = cls

    @property
    def time(self) -> datetime:
        """When it happened, aware, UTC."""
        return datetime.fromtimestamp(self.at, UTC)


class Created(Event):
    """The run exists on disk; nothing has started."""

    type: Literal["created"] = "created"
    name: str = ""


class JobStarted(Event):
    """An agent has taken the run. ``from_step`` is 0, or the step of the checkpoint that a resume goes on from."""

    type: Literal["job_started"] = "job_started"
    pid: int
    from_step: int = 0


class PhaseEntered(Event):
    """The run went on to its next phase."""

    type: Literal["phase"] = "phase"
    phase: str
    detail: str = ""


class MachineRented(Event):
    """A machine was bought for the run, or is about to be. ``usd_per_hour`` as it was offered."""

    type: Literal["machine"] = "machine"
    provider: str
    label: str
    gpu: str
    usd_per_hour: str


class MachineGone(Event):
    """Its provider's own list has proved that it is no more. ``usd``: what it cost, as estimated until the bill comes."""

    type: Literal["machine_gone"] = "machine_gone"
    label: str
    why: str
    usd: str = ""


class Environment(Event):
    """What the run runs on. Holds no environment variables."""

    type: Literal["environment"] = "environment"
    facts: dict[str, str | int | float | None]


class DevicesTaken(Event):
    """On what a job trains, decided by its agent from the machine, and why. ``memory_bytes`` is of one device."""

    type: Literal["devices"] = "devices"
    processes: int
    strategy: Literal["single", "ddp", "fsdp"]
    device: str = Field(description="Its name.")
    memory_bytes: float | None = None
    reason: str

    @property
    def words(self) -> str:
        """``2 × A100, FSDP``; the device's name alone for one."""
        return self.device if self.processes == 1 else f"{self.processes} × {self.device}, {self.strategy.upper()}"


class Planned(Event):
    """What the trainer is about to do, known once model and data are loaded."""

    type: Literal["planned"] = "planned"
    total_steps: int
    steps_per_epoch: float
    train_rows: int
    eval_rows: int
    trainable_parameters: int
    total_parameters: int
    device: str
    precision: str
    loop: Literal["fast", "reference"]
    loop_reason: str
    processes: int = 1
    strategy: Literal["single", "ddp", "fsdp"] = "single"
    epoch_tokens: int | None = Field(default=None, description="Real tokens of one pass over the training rows.")


class Probed(Event):
    """What a probe before the first step took, on the neediest micro-batch that the run can meet and on an evaluation batch."""

    type: Literal["probed"] = "probed"
    steps: int
    step_s: float = Field(description="Of the last one: a micro-batch forward and back, and the optimizer.")
    evaluation_s: float = Field(description="0 where nothing is evaluated.")
    tokens: int = Field(description="Of the micro-batch as it was computed, padding included.")
    allocated_bytes: int | None = Field(
        default=None, description="Most that the GPU's allocator gave out; None on a CPU."
    )
    resident_bytes: int | None = Field(
        default=None, description="Most main memory while it lasted; None where unknown."
    )


class Logged(Event):
    """One line of output."""

    type: Literal["log"] = "log"
    level: Level
    text: str
    source: str = "trainer"


class CheckpointSaved(Event):
    """A checkpoint that has been written, synced and renamed into place. ``path`` is relative to the run folder."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    size_bytes: int
    sha256: str
    duration_s: float


class Evaluated(Event):
    """Loss on the held-out rows."""

    type: Literal["evaluated"] = "evaluated"
    step: int
    loss: float
    rows: int
    duration_s: float


class Sampled(Event):
    """What the model answered at this step."""

    type: Literal["sample"] = "sample"
    step: int
    prompt: str
    text: str
    duration_s: float = 0.0


class Doing(Event):
    """What a trainer does between two steps; nothing: that is over. Its agent hears it, and no log has it."""

    type: Literal["doing"] = "doing"
    what: str = ""


class Warned(Event):
    """A rule saw something a person should know. ``changes`` is a change to the spec that usually helps, possibly empty."""

    type: Literal["warning"] = "warning"
    code: str
    step: int
    message: str
    hint: str = ""
    changes: dict[str, Any] = Field(default_factory=dict)


class StopRequested(Event):
    """Somebody asked the run to stop; with ``save``, to keep what it has learned."""

    type: Literal["stop_requested"] = "stop_requested"
    save: bool


class AdapterSaved(Event):
    """The adapter is on disk, hashed, and was loaded once. ``path`` is relative to the run folder."""

    type: Literal["adapter"] = "adapter"
    path: str
    step: int
    sha256: str
    size_bytes: int


class Finished(Event):
    """The job ended. ``completed`` is only ever written after :class:`AdapterSaved`."""

    type: Literal["finished"] = "finished"
    state: Literal["completed", "stopped", "failed"]
    failure: Failure | None = None


def parse_event(raw: dict[str, Any]) -> Event:
    """An event from its JSON object; of its own class where the type is known."""
    event = _KINDS.get(str(raw.get("type")), Event).model_validate(raw)
    assert isinstance(event, Event)
    return event
