"""The Data panel: choose data, see what it is and how it is trained, settle what the report finds."""

from __future__ import annotations

from typing import Any

from peft_studio.core.data import Dataset, Finding
from peft_studio.core.errors import DataError
from peft_studio.core.session import Choice
from peft_studio.quickstart import MODEL
from peft_studio.widgets import _data_view as view
from peft_studio.widgets._content import command
from peft_studio.widgets._data_check import Checked, Checker, Job, Looked, Shown, look_at, show_row
from peft_studio.widgets._data_code import data_code, source_of
from peft_studio.widgets._data_open import DataOpening
from peft_studio.widgets._data_snapshot import data_snapshot
from peft_studio.widgets._host import Host
from peft_studio.widgets._newest import Answer, Newest
from peft_studio.widgets._steps import STEPS
from peft_studio.widgets._text import plain

_MOVING_S, _QUIET_S = 0.1, 0.5


class DataContent(DataOpening):
    """The session's data. Opening, checking and reading rows each have a thread; ``sections`` only looks at what they left."""

    module = "data"

    def __init__(self, studio: Host) -> None:
        super().__init__(studio)
        self._checker = Checker(studio)
        self._checks: Newest[Checked] = Newest("data-check", turns=True)
        self._looks: Newest[Looked] = Newest("data-look", turns=True)
        self._rows: Newest[Shown] = Newest("data-row", turns=True)
        self._data: Dataset | None = None
        self._used: Dataset | None = None
        self._model: str | None = None  # asked for here, and not yet known to be there
        self._max_length: int | None = None  # asked for here, while there is no draft to keep it in
        self._session_model: str | None = None
        self._number = 0

    def __repr__(self) -> str:
        data = self._studio.session.now.data
        return f"DataPanel({view.title_of(data)!r})" if data else "DataPanel()"

    # -- what is shown ----------------------------------------------------------------------------------------

    def sections(self) -> dict[str, Any]:
        """The data as it is chosen now, and how far its checks are."""
        now = self._studio.session.now
        self._follow(now)
        job = self._job(now)
        shown = {"data": None, "code": "", "row": None} if job is None else self._shown(job)
        busy = any(one.busy for one in (self._opening, self._checks, self._looks, self._rows))
        self.interval_s = _MOVING_S if busy else _QUIET_S
        return {**self.opening_sections(), **shown}

    def snapshot_html(self) -> str:
        """The report as it stood when the notebook was saved."""
        return data_snapshot(self.sections())

    def _follow(self, now: Choice) -> None:
        """Take over what code or another panel has chosen."""
        if now.model != self._session_model:
            self._session_model, self._model = now.model, None
        if now.data is self._data:
            return
        if now.data is None or self._data is None or now.data.ref.sha256 != self._data.ref.sha256:
            self._number, self._max_length = 0, None
        self._data = now.data
        if not self._opening.busy:
            self.dismiss()  # the problem of an earlier opening is nobody's any more

    def _job(self, now: Choice) -> Job | None:
        if now.data is None:
            return None
        draft = now.draft
        max_length = draft.max_length if draft else self._max_length
        assistant_only = draft.assistant_only_loss if draft else True
        return Job(now.data, self._model or now.model or MODEL, max_length, assistant_only)

    def _shown(self, job: Job) -> dict[str, Any]:
        data = job.data
        self._looks.ask(data, lambda: look_at(data))
        self._checks.ask(job, lambda: self._checker.check(job))
        done, looked = self._checks.find(job), self._looks.find(data)
        checked = done.value if done else None
        self.unsettled = done is None
        if checked is not None and checked.encoder is not None and self._model is not None:
            self._studio.session.choose(model=self._model)
            self._model = None
        encoder, number = self._checker.find_encoder(job.model), min(self._number, data.rows - 1)
        self._rows.ask((job, number, encoder), lambda: show_row(job, number, encoder))
        findings = checked.report.findings if checked else data.problems
        return {
            "data": {
                "title": view.title_of(data),
                "verdict": view.verdict(findings, checked, failed=bool(done and done.problem)),
                "used": data is self._used,
                "next": "train" in STEPS,
            },
            "facts": view.facts(data, looked.value if looked else None),
            "model": self._model_section(job, done),
            "findings": view.findings_of(findings),
            "report": view.report_of(done),
            "at": number,
            "row": view.row_of(
                self._rows.answer if self._rows.answer and self._rows.answer.question[0].data is data else None
            ),
            "columns": view.columns_section(looked.value.columns) if looked and looked.value else [],
            "code": data_code(self._studio.home, data, model=job.model, max_length=job.max_length),
        }

    def _model_section(self, job: Job, done: Answer[Checked] | None) -> dict[str, Any]:
        problem = done.value.problem if done and done.value else None
        return {
            "name": plain(job.model, limit=300),
            "max_length": job.max_length,
            "checking": plain(self._checker.words, limit=300) if done is None else None,
            "problem": {"message": plain(problem.message), "hint": plain(problem.hint)} if problem else None,
            "unreadable": done.problem if done else None,
        }

    # -- looking and settling ---------------------------------------------------------------------------------

    @command
    def go_row(self, number: int) -> None:
        """Show another row."""
        self._number = max(0, min(int(number), self._need().rows - 1))

    @command
    def set_model(self, model: str) -> None:
        """Check with another model. The session has it once its tokenizer is there."""
        self._model = plain(model.strip(), limit=300) or None

    @command
    def set_max_length(self, tokens: int | None) -> None:
        """Cut rows at another length; None is the model's own."""
        if tokens is not None and tokens < 1:
            raise DataError("max_length is a number of tokens, 1 or more.", hint="Leave it empty for the model's own.")
        draft = self._studio.session.now.draft
        if draft is None:
            self._max_length = tokens
        elif tokens is not None:
            self._studio.session.choose(draft=draft.replace(max_length=tokens))
        else:
            raise DataError("The draft of the run needs a max_length.", hint="Type a number of tokens.")

    @command
    def fix(self, code: str) -> None:
        """Do what a finding proposes. The file is never changed."""
        data = self._need()
        action = self._finding(code).fix_action or {}
        if rows := action.get("leave_out"):
            self._studio.session.choose(data=data.leave_out(rows))
        elif length := action.get("max_length"):
            self.set_max_length(length)

    @command
    def put_back(self) -> None:
        """Take in again what was left out."""
        data = self._need()
        mapping: dict[str, Any] = {"columns": data.ref.columns, "format": data.ref.format} if data.format.given else {}
        self._ask(source_of(data.ref), split=data.ref.split, seed=data.ref.seed, **mapping)

    @command
    def use(self) -> None:
        """Go on with this data; a length chosen here goes with it, into the draft of the run."""
        data = self._need()
        job = self._job(self._studio.session.now)
        if self._max_length is not None and job is not None and self._studio.session.now.draft is None:
            self._studio.spec(model=job.model, data=data, max_length=self._max_length)
        self._used = data
        panel = {"panel": "train"} if "train" in STEPS else {}
        self._studio.session.choose(data=data, **panel)

    def _finding(self, code: str) -> Finding:
        done = self._checks.answer
        known = done.value.report.findings if done and done.value and done.question.data is self._data else ()
        for finding in (*known, *self._need().problems):
            if finding.code == code:
                return finding
        raise DataError("That is settled already.", hint="The report below is newer.")
