"""What takes time behind the Publish panel: making the plan, and the push itself. Never on the feed's thread.

A push begins by making its plan once more: only what was shown and confirmed is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from peft_studio.core.errors import Cancelled, ModelError, RunStateError, StudioError
from peft_studio.core.models.prepared import find_prepared
from peft_studio.core.services.publish.parity import find_prompts
from peft_studio.core.services.publish.plan import PushPlan
from peft_studio.core.services.publish.push import Pushed
from peft_studio.widgets._connect_view import view_problem
from peft_studio.widgets._feed import ERRORS, guarded
from peft_studio.widgets._host import Host
from peft_studio.widgets._newest import Answer, Newest

_SETTLED_S = 0.3  # a name that is being typed is planned once, after it
OLLAMA = "ollama"  # it makes a model on a base of its own, so it has to know that base's name there

Stage = Literal["looking", "asking", "sending", "published", "queued", "bundled", "changed", "cancelled", "failed"]
UNDER_WAY: tuple[Stage, ...] = ("looking", "asking", "sending")


@dataclass(frozen=True)
class Wish:
    """What a person has chosen: what ``studio.push`` is asked for."""

    run_id: str
    to: str
    repo: str
    private: bool = True
    base: str = ""
    from_model: str = ""
    compare: bool = True

    @property
    def options(self) -> Mapping[str, Any]:
        """What the platform takes besides."""
        if self.to != OLLAMA:
            return {}
        return {"from_model": self.from_model, **({} if self.compare else {"prompts": []})}


@dataclass(eq=False)
class Job:
    """A push that somebody has confirmed. ``was_waiting``: it was seen in the outbox, so that it is missed when it is not there."""

    wish: Wish
    plan: PushPlan
    stage: Stage = "looking"
    sent_bytes: int = 0
    began_at: float = field(default_factory=time.time)
    cancelled: threading.Event = field(default_factory=threading.Event)
    pushed: Pushed | None = None
    problem: dict[str, Any] | None = None
    was_waiting: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is being done for it any more."""
        return self.stage not in UNDER_WAY

    @property
    def push_id(self) -> str:
        """As the record has it: with answers to compare it is another one than its plan's."""
        return self.pushed.id if self.pushed else self.plan.id

    def report(self, sent_bytes: int) -> None:
        """Bytes have arrived; called on the connector's thread."""
        if self.cancelled.is_set():
            raise Cancelled("You called it off.", hint="Push again: what has arrived is kept.", platform=self.plan.to)
        self.stage, self.sent_bytes = "sending", sent_bytes


class PublishWork:
    """One plan and one push at a time."""

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self.planning: Newest[tuple[PushPlan, int]] = Newest("publish-plan", wait_s=_SETTLED_S)
        self.job: Job | None = None
        self._mark = 0  # changes when the same wish is to be looked at again

    @property
    def busy(self) -> bool:
        """Whether there will be news soon."""
        return self.planning.busy or (self.job is not None and not self.job.is_over)

    def follow(self, wish: Wish | None) -> None:
        """See to it that there is a plan of this wish."""
        if wish is None:
            self.planning.forget()
        else:
            self.planning.ask((wish, self._mark), lambda: self._plan(wish))

    def look_again(self) -> None:
        """Make the plan anew: what it is made of may have changed."""
        self._mark += 1

    def find(self, wish: Wish | None) -> Answer[tuple[PushPlan, int]] | None:
        """The plan of a wish and how many prompts are compared first, or the problem, once it has come."""
        return self.planning.find((wish, self._mark))

    def require_idle(self) -> None:
        """Raise while a push goes on."""
        if self.job is not None and not self.job.is_over:
            raise RunStateError("It is being published.", hint="Wait for its end, or cancel it.")

    def begin(self, wish: Wish, plan: PushPlan) -> None:
        """Push what was confirmed, on a thread of its own."""
        job = self.job = Job(wish, plan)
        threading.Thread(target=self._push, args=(job,), name="peft-studio-publish", daemon=True).start()

    def _plan(self, wish: Wish, job: Job | None = None) -> tuple[PushPlan, int]:
        """What would be shared now. Nothing is fetched for it."""
        run = self._studio.run(wish.run_id)
        if wish.to == OLLAMA and find_prepared(run.spec.model, self._studio.home) is None:
            raise ModelError(
                f"{run.spec.model}, which it was trained on, is not on this machine any more.",
                hint=f"studio.prepare({run.spec.model!r}) brings it back: its shapes are needed, and its answers are compared.",
            )
        asked = len(find_prompts(run)) if wish.to == OLLAMA and wish.compare else 0
        plan = self._studio.push(
            wish.run_id, to=wish.to, repo=wish.repo, private=wish.private, base=wish.base or None,
            progress=job.report if job else None, **wish.options,
        )  # fmt: skip
        return plan, asked

    def _push(self, job: Job) -> None:
        _, problem = guarded(lambda: self._push_one(job), "publish")
        if problem is not None:  # nothing that has a name: it is in studio.errors
            job.problem = {"kind": "failed", "steps": [], **problem}
            job.stage = "failed"

    def _push_one(self, job: Job) -> None:
        try:
            plan, asked = self._plan(job.wish, job)
            if plan.id != job.plan.id:
                self.look_again()
                job.stage = "changed"
                return
            job.stage = "asking" if asked else "sending"
            job.pushed = pushed = plan.confirm()
        except Cancelled:
            job.stage = "cancelled"
        except StudioError as exc:
            ERRORS.append(exc)
            job.problem = view_problem(exc)
            job.stage = "failed"
        else:
            job.stage = "queued" if pushed.queued else "bundled" if pushed.folder else "published"
