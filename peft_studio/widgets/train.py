"""The Train panel: the session's draft as a form, its preflight, and the launch. Reads and writes the session, keeps no draft of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peft_studio.core.data import open_ref
from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.errors import DataError, NotReadyError, SpecError
from peft_studio.core.session import Choice
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._text import plain
from peft_studio.widgets._train_code import train_code
from peft_studio.widgets._train_fields import FIELDS, parse, text_of
from peft_studio.widgets._train_quote import build_quote_section
from peft_studio.widgets._train_sweep import TrainSweep
from peft_studio.widgets._train_view import build_data, build_fields, build_groups, build_problem, build_snapshot
from peft_studio.widgets._train_work import TrainWork, is_current

_BUSY_S, _QUIET_S = 0.1, 0.5


class TrainContent(Content):
    """The draft of the session that all panels share."""

    module = "train"

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._work = TrainWork(studio)
        self._sweep = TrainSweep(studio)
        self._errors: dict[str, dict[str, Any]] = {}  # field → what was typed and why it was refused
        self._edited: ExplainedSpec | None = None  # the draft that the errors are about
        self._notes: list[str] = []
        self._changed = 0  # counts what is not in the session
        self._lock = threading.Lock()
        self._built: tuple[Any, dict[str, Any]] = (None, {})

    def __repr__(self) -> str:
        return "TrainPanel()"

    # -- what is shown -----------------------------------------------------------------------------------------

    def sections(self) -> dict[str, Any]:
        """The draft as it stands. What takes time was asked for before and is shown when it has come."""
        now = self._studio.session.now
        self._follow(now)
        self.interval_s = _BUSY_S if self._work.busy else _QUIET_S
        mark = (now.model, now.data, now.draft, self._work.mark, self._sweep.version, self._changed)
        if mark != self._built[0] or self._sweep.going:
            self._built = (mark, self._build(now))
        return self._built[1]

    def snapshot_html(self) -> str:
        """The draft when the notebook was saved."""
        now = self._studio.session.now
        return build_snapshot(now, self._work.checking.value, self._work.quoting.value)

    def _build(self, now: Choice) -> dict[str, Any]:
        draft, work = now.draft, self._work
        with self._lock:
            errors, notes = dict(self._errors), list(self._notes)
        return {
            "model": {
                "name": plain(now.model or "", limit=1000),
                "known": [plain(name, limit=1000) for name in work.known],
            },
            "data": build_data(now.data),
            "machine": work.machine,
            "missing": [name for name in ("model", "data") if not getattr(now, name)],
            "groups": build_groups(),
            "fields": build_fields(draft, errors) if draft else {},
            "changed": [name for name in FIELDS if draft and name in draft.chosen],
            "deriving": {"busy": work.deriving.busy, "doing": work.doing, "problem": work.deriving.problem},
            "preflight": self._preflight(now),
            "quote": self._quote(now),
            "sweep": self._sweep.section(draft),
            "notes": notes,
            "code": train_code(self._studio.home, draft if is_current(now) else None, now.model, now.data),
        }

    def _preflight(self, now: Choice) -> dict[str, Any]:
        checking = self._work.checking
        check, problem, busy = checking.value, checking.problem, checking.busy
        if not is_current(now) or (check is None and problem is None):
            return {"state": "checking" if busy else "none", "busy": busy, "problems": []}
        problems = [build_problem(one) for one in check.problems] if check else []
        if problem:
            problems = [{"code": "check_failed", "severity": "blocking", "message": problem["message"],
                         "fix": problem["hint"], "field": "", "button": "", "changes": {}}]  # fmt: skip
        ready = check is not None and check.ready
        return {"state": "ready" if ready else "not_ready", "busy": busy, "problems": problems}

    def _quote(self, now: Choice) -> dict[str, Any]:
        quoting, measuring = self._work.quoting, self._work.measuring
        quote = quoting.value if is_current(now) else None
        busy, problem = quoting.busy and is_current(now), quoting.problem if is_current(now) else None
        return build_quote_section(quote, busy=busy, measuring=measuring.busy, problem=problem or measuring.problem)

    # -- following the session ---------------------------------------------------------------------------------

    def _follow(self, now: Choice, *, again: bool = False) -> None:
        with self._lock:
            if now.draft is not self._edited:  # changed by code or another panel: what was typed here is past
                self._changed += bool(self._errors)
                self._errors, self._edited = {}, now.draft
        self._work.follow(now, again=again)

    # -- what a click does -------------------------------------------------------------------------------------

    @command
    def choose_model(self, model: str) -> None:
        """Choose a base model; its defaults follow when it is ready here."""
        self._studio.session.choose(model=model.strip() or None)

    @command
    def set_field(self, field: str, value: Any) -> None:
        """Set a field from what its control holds. What the spec refuses is shown below the field; the draft stays."""
        try:
            self._edit(lambda draft: _put(draft, field, parse(field, value)), field)
        except SpecError as exc:
            text = value if isinstance(value, str) else text_of(value)
            own = exc.by_field.get(field)
            words = own or exc.message.removeprefix("The run spec is not valid: ")
            hint = "" if exc.by_field else plain(exc.hint)  # it would say to change this field
            with self._lock:
                self._errors[field] = {"text": plain(text, limit=4000), "message": _sentence(words), "hint": hint}
                self._changed += 1

    @command
    def apply(self, changes: dict[str, Any]) -> None:
        """Set several fields at once: a fix."""
        self._edit(lambda draft: draft.replace(**changes), *changes)

    @command
    def reset(self, field: str) -> None:
        """Give a field its default again."""
        self._edit(lambda draft: draft.without(field), field)

    @command
    def reset_all(self) -> None:
        """Give all fields their defaults again."""
        self._edit(lambda draft: draft.without(*draft.chosen), *FIELDS)

    @command
    def try_again(self) -> None:
        """Derive or check once more: something outside may have been mended."""
        self._follow(self._studio.session.now, again=True)

    @command
    def open_step(self, panel: str) -> None:
        """Go to another step of the studio."""
        self._studio.session.choose(panel=panel)

    @command
    def dismiss_notes(self) -> None:
        """Put away what the import had to say."""
        self._note([])

    @command
    def import_file(self, path: str) -> bool:
        """Take the draft from a spec file. Its data is opened where it is on this machine."""
        draft, notes = self._studio.load(Path(path.strip()).expanduser())
        data = None
        if Path(draft.data.path).exists():
            try:
                data = open_ref(draft.data)
            except DataError as exc:
                notes = [*notes, f"{exc.message} {exc.hint}"]
        self._studio.session.choose(model=draft.model, data=data, draft=draft)
        self._note([f"Imported {path.strip()}.", *notes])
        return True

    @command
    def export_file(self, path: str, replace: bool = False) -> dict[str, Any]:
        """Write the draft to a file; an existing one only with ``replace``."""
        draft, target = self._studio.session.now.draft, Path(path.strip()).expanduser()
        if draft is None or not path.strip():
            raise SpecError("There is nothing to write yet." if draft is None else "Name a file to write.")
        if target.exists() and not replace:
            return {"exists": True, "path": plain(str(target))}
        return {"exists": False, "path": plain(str(self._studio.export(draft, target).resolve()))}

    @command
    def launch(self) -> dict[str, str]:
        """Start the run and show it. What blocks it is shown as problems of the preflight."""
        now = self._studio.session.now
        if not is_current(now) or now.draft is None:
            raise SpecError(
                "There is no run to start yet.", hint="Choose data and a model; the fields follow from them."
            )
        if wrong := [FIELDS[name].title for name in self._errors]:
            hint = "Mend it, or take it back to its default."
            raise SpecError(f"{', '.join(wrong)}: a value that cannot be used.", hint=hint, fields=tuple(self._errors))
        try:
            run = self._studio.launch(now.draft)
        except NotReadyError as exc:
            self._follow(now, again=True)
            hint = "What blocks it stands under Before you start."
            raise NotReadyError("The run was not started.", hint=hint, fields=exc.fields) from exc
        self._studio.session.choose(panel="run", run_id=run.id)
        self.picture_due = True
        return {"run_id": run.id}

    @command
    def try_rates(self) -> dict[str, str]:
        """Start three short runs that differ in the learning rate alone."""
        now = self._studio.session.now
        if not is_current(now) or now.draft is None:
            raise SpecError("There is nothing to try yet.", hint="Choose data and a model first.")
        return {"sweep_id": self._sweep.start(now.draft)}

    @command
    def dismiss_rates(self) -> None:
        """Show the learning rates that were tried no longer."""
        self._sweep.dismiss()

    def _edit(self, change: Callable[[ExplainedSpec], ExplainedSpec], *names: str) -> None:
        """Change the draft as it stands when the change is made, whoever else changes it meanwhile. ``names`` are right again."""
        while True:
            before = self._studio.session.now
            if before.draft is None:
                raise SpecError("There is nothing to change yet.", hint="Choose data and a model first.")
            after = change(before.draft)
            with self._lock:
                if self._studio.session.choose_if(before, draft=after):
                    self._errors = {name: error for name, error in self._errors.items() if name not in names}
                    self._edited, self._changed = after, self._changed + 1
                    return

    def _note(self, notes: list[str]) -> None:
        with self._lock:
            self._notes = [plain(note) for note in notes]
            self._changed += 1


def _put(draft: ExplainedSpec, name: str, value: Any) -> ExplainedSpec:
    """The draft with a field set; a field set to its default is one that nobody has set."""
    changed = draft.replace(**{name: value})
    return draft.without(name) if getattr(changed, name) == changed.explain_defaults()[name].value else changed


def _sentence(words: str) -> str:
    return plain(words[:1].upper() + words[1:])
