"""What is chosen in the Publish panel, what follows from it, and what still stands in the way. Used under its owner's lock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from peft_studio.core.errors import RunStateError, StudioError
from peft_studio.core.services.check.problem import Problem
from peft_studio.core.services.publish.permission import judge_account
from peft_studio.widgets._host import Host
from peft_studio.widgets._publish_source import PublishSource
from peft_studio.widgets._publish_work import OLLAMA, Wish

if TYPE_CHECKING:
    from peft_studio.core.runs.index import RunRow

LONGEST = 200  # characters of what is typed
FORM: dict[str, Any] = {"private": True, "base": "", "from_model": "", "compare": True}
_OWNER = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


class PublishChoice:
    """Run, destination, and the form. A form is of one run at one place: that others may see it is said for each anew."""

    def __init__(self, studio: Host, source: PublishSource) -> None:
        self._studio, self._source = studio, source
        self._chosen: str | None = None
        self.form = dict(FORM)
        self._names: dict[tuple[str, str], str] = {}  # as typed, by run and target
        self._form_of: str | None = None  # the run that the form is of

    @property
    def run_id(self) -> str | None:
        """The session's run; else the newest that can be published."""
        rows = self._source.rows
        return self._studio.session.now.run_id or (rows[0].id if rows else None)

    @property
    def row(self) -> RunRow | None:
        """That run; None where it has no adapter."""
        return self._source.find_row(self.run_id)

    @property
    def to(self) -> str | None:
        """What was chosen, while it is there; else the one place that an account is connected to."""
        if self._chosen in self._source.infos:
            return self._chosen
        ready = [
            one for one in self._source.targets if one["account"] and one["state"] == "connected" and not one["local"]
        ]
        return str(ready[0]["name"]) if len(ready) == 1 else None

    @property
    def repo(self) -> str:
        """The name there: as typed, else one made of the account and the run."""
        row, to = self.row, self.to
        if row is None or to is None:
            return ""
        if (typed := self._names.get((row.id, to))) is not None:
            return typed
        words = row.name or row.model.rsplit("/")[-1]
        own = re.sub(r"[^a-z0-9]+", "-", words[:LONGEST].lower()).strip("-")[:80] or "adapter"
        info, account = self._source.infos[to], self._source.accounts.get(to)
        if account is None or info.local or info.by_hand or account.name == "nobody":
            return own
        return f"{account.name}/{own}" if _OWNER.fullmatch(account.name) else own

    def follow(self) -> None:
        """Take in that another run was chosen, here or elsewhere."""
        if self.run_id != self._form_of:
            self.form, self._form_of = dict(FORM), self.run_id

    def go_to(self, to: str) -> None:
        """Choose a destination."""
        self._chosen, self.form = to, dict(FORM)

    def set_option(self, name: str, value: Any) -> None:
        """Change one part of the form."""
        text = str(value).strip()[:LONGEST]
        if name == "repo":
            self._names[(self.run_id or "", self.to or "")] = text
        elif name in FORM:
            self.form[name] = value is True if isinstance(FORM[name], bool) else text
        else:
            raise StudioError(f"There is no option {name!r}.", hint="Run the cell again.")

    def require_run(self, run_id: str) -> None:
        """Raise where a run cannot be published."""
        if self._source.find_row(run_id) is None:
            raise RunStateError(
                "That run has no adapter.", hint="Choose one that has completed, or was stopped and saved."
            )

    def wish(self) -> Wish | None:
        """What ``studio.push`` would be asked for; None while something is missing."""
        row, to, repo = self.row, self.to, self.repo
        if row is None or to is None or not repo or (to == OLLAMA and not self.form["from_model"]):
            return None
        if self._target()["state"] == "impossible":
            return None
        asked = {name: self.form[name] for name in ("from_model", "compare")} if to == OLLAMA else {}
        return Wish(row.id, to, repo, private=self.form["private"], base=self.form["base"], **asked)

    def permission(self) -> list[Problem]:
        """What is known of the account says of a push to this name."""
        to = self.to
        account = self._source.accounts.get(to or "")
        if to is None or account is None:
            return []
        info = self._source.infos[to]
        if info.local or info.by_hand:
            return []
        return list(judge_account(account, info.title, self.repo, docs_url=info.docs_url, to=to))

    def missing(self) -> str:
        """What is to be done before there is a plan that may be confirmed; empty where nothing is."""
        if self.row is None:
            return "No run with an adapter is chosen"
        if self.to is None:
            return "Choose where to"
        target = self._target()
        if target["state"] == "impossible":
            return f"{target['title']} cannot be published to"
        if target["state"] in ("not connected", "refused"):
            return f"{target['title']} is not connected"
        if not self.repo:
            return "It has no name yet"
        if self.to == OLLAMA and not self.form["from_model"]:
            return "The base has no name of Ollama's yet"
        return "The account may not write there" if any(one.severity == "blocking" for one in self.permission()) else ""

    def _target(self) -> dict[str, Any]:
        return next(one for one in self._source.targets if one["name"] == self.to)
