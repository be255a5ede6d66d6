"""What would be shared: files with bytes and digests, who would see them, and what stays here and why. Making it changes nothing anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peft_studio.core.markup import block, escape, facts, finding_line, table, visible
from peft_studio.core.services.check.problem import Problem
from peft_studio.core.services.publish.contents import CARD, SharedFile

if TYPE_CHECKING:
    from peft_studio.core.services.publish.push import Pushed

EXPECTED = "expect"  # the setting with answers to compare with: it says nothing of what is shared
HEADS = ("file", "bytes", "sha256")


@dataclass(frozen=True)
class PushPlan:
    """A publication before it happens. ``confirm()`` does it, as ``studio.push(..., confirm=True)`` would.

    Attributes:
        to, title: The platform's name and what people call it.
        private: Whether only the owner sees it.
        local: It stays on this machine.
        problems: What blocks it, or deserves a look.
        settings: What else the platform is told; no secret.
        steps: What a person does by hand, where the platform has no API for it: then a folder is all that is made.
    """

    to: str
    title: str
    repo: str
    private: bool
    local: bool
    files: tuple[SharedFile, ...]
    left_out: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    run_id: str = ""
    do: Callable[[PushPlan], Pushed] | None = field(default=None, repr=False, compare=False)

    @property
    def id(self) -> str:
        """The same for the same files to the same place: a repeat is known by it, also on the other side."""
        what = [
            self.to,
            self.repo,
            self.private,
            sorted((one.path, one.sha256) for one in self.files),
            dict(self.settings),
        ]
        return "push-" + hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def ready(self) -> bool:
        """Whether nothing blocks it."""
        return not any(problem.severity == "blocking" for problem in self.problems)

    @property
    def card(self) -> str:
        """The model card as it would be shared; empty where there is none."""
        return next((file.read() for file in self.files if file.path == CARD), "")

    def confirm(self) -> Pushed:
        """Do it."""
        assert self.do is not None
        return self.do(self)

    def __repr__(self) -> str:
        lines = [self._headline(), ""]
        width = max((len(file.path) for file in self.files), default=0)
        lines += [f"  {file.path.ljust(width)}  {file.size_bytes:>13,}  {file.sha256[:12]}…" for file in self.files]
        lines += ["", "Stays here:", *(f"  {what}: {why}" for what, why in self.left_out.items())]
        lines += [f"\n{problem}" for problem in self.problems]
        lines += [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        return visible("\n".join([*lines, "", self._next()]))

    def _repr_html_(self) -> str:
        rows = [(file.path, f"{file.size_bytes:,}", f"{file.sha256[:12]}…") for file in self.files]
        found = "".join(finding_line(one.severity, one.message, one.fix) for one in self.problems)
        steps = "".join(f"<li>{escape(step)}</li>" for step in self.steps)
        return block(
            [
                f"<p><b>{escape(self._headline())}</b></p>",
                table(HEADS, rows),
                "<p>Stays here:</p>",
                facts(tuple(self.left_out.items())),
                f"<ul>{found}</ul>" if found else "",
                f"<ol>{steps}</ol>" if steps else "",
                f"<p>{escape(self._next())}</p>",
            ]
        )

    def _headline(self) -> str:
        seen = "private: only you see it" if self.private else "PUBLIC: everybody sees it"
        who = "on this machine" if self.local or self.steps else seen
        count = f"{len(self.files)} file{'' if len(self.files) == 1 else 's'}"
        return f"Would share {count}, {self.size_bytes:,} bytes, with {self.title} as {self.repo} ({who})."

    def _next(self) -> str:
        if not self.ready:
            return "Blocked: nothing can be shared before that is mended."
        return "Nothing has been shared. The same call with confirm=True does it."
