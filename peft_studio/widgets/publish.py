"""The Publish panel: an adapter's way to others: where to, what would go, a confirmation, the push and what came of it.

Nothing leaves this machine before somebody confirms a plan that was shown; another plan than that one is not sent.
"""

from __future__ import annotations

import threading
from typing import Any

from peft_studio.core.errors import StudioError
from peft_studio.widgets._code import opening
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._looker import Looker
from peft_studio.widgets._publish_choice import LONGEST, PublishChoice
from peft_studio.widgets._publish_source import PublishSource, title_of
from peft_studio.widgets._publish_view import (
    build_code,
    build_snapshot,
    view_earlier,
    view_job,
    view_plan,
    view_problem_line,
)
from peft_studio.widgets._publish_work import OLLAMA, Job, PublishWork, Wish
from peft_studio.widgets._steps import find_step
from peft_studio.widgets._text import plain

_FIRST_S, _RESTLESS_S, _QUIET_S = 0.05, 0.2, 1.0


class PublishContent(Content):
    """One run, one destination, one push at a time."""

    module = "publish"
    interval_s = _FIRST_S

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._source = PublishSource(studio)
        self._work = PublishWork(studio)
        self._choice = PublishChoice(studio, self._source)
        self._lock = threading.RLock()
        self._looker = Looker(self._source.look, name="publish")

    def __repr__(self) -> str:
        row = self._choice.row
        return f"PublishPanel({title_of(row)!r})" if row else "PublishPanel()"

    def sections(self) -> dict[str, Any]:
        """What can be published and where, the plan of what is chosen, the push, and what was published before."""
        self._looker.again(due=self._source.is_due)
        if not self._source.has_looked:
            self.interval_s = _FIRST_S
            return {}
        with self._lock:
            self._choice.follow()
            wish, job = self._choice.wish(), self._shown_job()
            self._work.follow(wish)
            self.interval_s = _RESTLESS_S if self._work.busy else _QUIET_S
            going = job is not None and not job.is_over
            self.picture_due, self.unsettled = self.picture_due or (self.unsettled and not going), going
            return {
                **self._view_choice(job),
                "plan": self._view_plan(wish),
                "reason": self._reason(wish),
                "job": self._view_job(job),
                "code": f"{opening(self._studio.home)}{build_code(wish, job)}",
            }

    def snapshot_html(self) -> str:
        """What would be shared, or what became of it."""
        row, view = self._choice.row, self.sections()
        return build_snapshot(title_of(row) if row else "", view) if view else ""

    def close(self) -> None:
        """End the looking thread. A push that goes on goes on."""
        self._looker.close()

    # -- what, and where to -----------------------------------------------------------------------------------------

    @command
    def choose_run(self, run_id: str) -> None:
        """Publish another run's adapter; it becomes the session's run."""
        self._choice.require_run(run_id)
        self._work.require_idle()
        self._studio.session.choose(run_id=run_id)

    @command
    def choose_target(self, to: str) -> None:
        """Publish elsewhere. Private again: that others may see it is said for one place at a time."""
        name = self._studio._catalog.get_info(to).name
        with self._lock:
            self._work.require_idle()
            self._choice.go_to(name)
            self._work.job = None

    @command
    def set_option(self, option: str, value: Any) -> None:
        """Change the name there, who sees it, or what else the platform takes."""
        with self._lock:
            self._work.require_idle()
            self._choice.set_option(option, value)

    @command
    def check(self) -> None:
        """Ask the platform once more whose key it is and what it may."""
        try:
            self._studio._connections.check(self._choice.to or "")
        finally:
            self._source.look()

    @command
    def look_again(self) -> None:
        """Make the plan anew."""
        self._work.look_again()

    @command
    def go(self, panel: str) -> None:
        """To another step, for what is missing."""
        self._studio.session.choose(panel=find_step(panel).name)

    # -- the push ---------------------------------------------------------------------------------------------------

    @command
    def publish(self, plan_id: str) -> None:
        """Send what was shown under this id and confirmed. Returns at once; another plan than that is not sent."""
        with self._lock:
            self._work.require_idle()
            wish = self._choice.wish()
            answer = self._work.find(wish)
            plan = answer.value[0] if answer and answer.value else None
            if plan is None or wish is None or plan.id != plan_id:
                raise StudioError(
                    "What would be sent is not what you confirmed. Nothing was sent.",
                    hint="Look at it again, then publish.",
                )
            if reason := self._reason(wish):
                raise StudioError(f"{reason}. Nothing was sent.", hint="What is missing stands beside it.")
            self._work.begin(wish, plan)

    @command
    def cancel(self) -> None:
        """End the push at its next piece. What has arrived is kept."""
        if self._work.job is not None:
            self._work.job.cancelled.set()

    @command
    def leave(self) -> None:
        """Back to the choice; what came of the push stays on the record."""
        with self._lock:
            self._work.require_idle()
            self._work.job = None

    # -- as the page shows it ---------------------------------------------------------------------------------------

    def _view_choice(self, job: Job | None) -> dict[str, Any]:
        choice, source, offline = self._choice, self._source, self._studio.offline
        row, titles = choice.row, {name: info.title for name, info in source.infos.items()}
        return {
            "runs": [
                {
                    "id": one.id,
                    "title": plain(title_of(one), limit=LONGEST),
                    "method": one.method,
                    "model": plain(one.model, limit=LONGEST),
                }
                for one in source.rows
            ],
            "run": row.id if row else None,
            "wanted": choice.run_id,
            "targets": source.targets,
            "to": choice.to,
            "form": {**choice.form, "repo": choice.repo, "asks_base": choice.to == OLLAMA},
            "permission": [view_problem_line(one) for one in choice.permission()],
            "earlier": view_earlier(source.record, row.id, titles, besides=job.push_id if job else "") if row else [],
            "offline": plain(offline) if isinstance(offline, str) else "" if offline is False else "set by hand",
        }

    def _view_plan(self, wish: Wish | None) -> dict[str, Any]:
        answer = self._work.find(wish)
        shown = view_plan(*answer.value) if answer and answer.value else None
        problem = answer.problem if answer else None
        state = "none" if wish is None else "ready" if shown else "failed" if problem else "busy"
        return {"state": state, "shown": shown, "problem": problem}

    def _view_job(self, job: Job | None) -> dict[str, Any] | None:
        if job is None:
            return None
        entry = self._source.find_entry(job.push_id) if job.stage == "queued" else None
        job.was_waiting = job.was_waiting or entry is not None
        return view_job(job, self._source.record.get(job.push_id), entry)

    def _shown_job(self) -> Job | None:
        """The push, unless it has ended and another run was chosen since."""
        job = self._work.job
        if job is not None and job.is_over and job.wish.run_id != self._choice.run_id:
            self._work.job = None
        return self._work.job

    def _reason(self, wish: Wish | None) -> str:
        """Why it cannot be published now, for the button; empty where it can."""
        if missing := self._choice.missing():
            return missing
        answer = self._work.find(wish)
        if answer is None:
            return "What would go is still being looked at"
        if answer.value is None:
            return "What would go could not be put together"
        return "" if answer.value[0].ready else "Something in it must not leave"
