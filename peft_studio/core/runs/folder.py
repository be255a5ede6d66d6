"""Where things stand in a run's folder.

spec.json            what was asked for; never changes
prediction.json      what was expected of it at launch; never changes
events.jsonl         the truth (core/runs/log.py)
metrics              numbers by step; system: numbers by time (core/runs/metrics.py)
checkpoints/         checkpoint-<step>/ with MANIFEST.json; .aside is unfinished
adapter/             the result, in peft's own format
agent.lock           locked while an agent lives
trainer.lock         locked while a trainer of this run lives, also one whose agent is gone
others.json          what other machines are to start for a run that several train; the agent writes it
agent.json           how to reach the agent: address and token, readable by this user alone
heartbeat            its modification time is when the agent was last alive
trouble              what keeps a rented run's files from being written here (core/runs/trouble.py)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peft_studio.core.spec import RunSpec


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def prediction(self) -> Path:
        return self.path / "prediction.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    @property
    def system(self) -> Path:
        return self.path / "system"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def agent_lock(self) -> Path:
        return self.path / "agent.lock"

    @property
    def trainer_lock(self) -> Path:
        return self.path / "trainer.lock"

    @property
    def agent(self) -> Path:
        return self.path / "agent.json"

    @property
    def others(self) -> Path:
        return self.path / "others.json"

    @property
    def heartbeat(self) -> Path:
        return self.path / "heartbeat"

    @property
    def trouble(self) -> Path:
        return self.path / "trouble"

    @property
    def home(self) -> Path:
        """The home this run belongs to: ``<home>/runs/<id>``."""
        return self.path.parent.parent

    def load_spec(self) -> RunSpec:
        """The run's spec."""
        return RunSpec.from_json(self.spec.read_text(encoding="utf-8"))
