"""The steps of the workflow, in order: each a panel of its own and a tab of the studio. Another one joins by ``register``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from peft_studio.core.errors import StudioError, nearest

if TYPE_CHECKING:
    from peft_studio.widgets._content import Content
    from peft_studio.widgets._host import Host


@dataclass(frozen=True, slots=True)
class Step:
    """``content`` is ``module:Class``, imported when first shown; the class takes the studio as its only argument."""

    name: str
    title: str
    content: str

    def find_class(self) -> Callable[[Host], Content]:
        """What makes this step's content for a studio."""
        module, name = self.content.split(":")
        found: Callable[[Host], Content] = getattr(import_module(module), name)
        return found

    @property
    def module(self) -> str:
        """Its front end: ``static/<module>.js``."""
        return str(self.find_class().module)  # type: ignore[attr-defined]


STEPS: dict[str, Step] = {}
START = "data"  # what a studio opens with: it needs no account


def register(step: Step) -> None:
    """Add a step at the end of the workflow, or replace the one of its name."""
    STEPS[step.name] = step


def find_step(name: str) -> Step:
    """The step of a name.

    Raises:
        StudioError: There is none.
    """
    if name not in STEPS:
        raise StudioError(f"There is no panel {name!r}.", hint=nearest(name, STEPS))
    return STEPS[name]


register(Step("connect", "Connect", "peft_studio.widgets.connect:ConnectContent"))
register(Step("models", "Models", "peft_studio.widgets.models:ModelsContent"))
register(Step("data", "Data", "peft_studio.widgets.data:DataContent"))
register(Step("train", "Train", "peft_studio.widgets.train:TrainContent"))
register(Step("compute", "Compute", "peft_studio.widgets.compute:ComputeContent"))
register(Step("runs", "Runs", "peft_studio.widgets.runs:RunsContent"))
register(Step("run", "Run", "peft_studio.widgets.run:ChosenRunContent"))
register(Step("chat", "Chat", "peft_studio.widgets.chat:ChatContent"))
register(Step("publish", "Publish", "peft_studio.widgets.publish:PublishContent"))
register(Step("spend", "Spend", "peft_studio.widgets.spend:SpendContent"))
register(Step("logs", "Logs", "peft_studio.widgets.logs:LogsContent"))
