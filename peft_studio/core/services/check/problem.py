"""What a preflight says: problems, each with its fix, and the verdict over them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from peft_studio.core.defaults.fit_ladder import Ladder
from peft_studio.core.markup import block, finding_line

Severity = Literal["blocking", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("blocking", "warning", "info")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that blocks a run or deserves a look. ``changes`` is the fix as spec fields, where it is one."""

    code: str
    severity: Severity
    message: str
    fix: str
    field: str = ""
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}\n  → {self.fix}"


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict on a spec. ``ladder`` has what would make it need less memory; None where its memory is not known."""

    problems: tuple[Problem, ...]
    ladder: Ladder | None = None

    @property
    def ready(self) -> bool:
        return not any(problem.severity == "blocking" for problem in self.problems)

    def __repr__(self) -> str:
        return "\n".join(["Ready" if self.ready else "Not ready", *map(str, self.problems)])

    def _repr_html_(self) -> str:
        lines = "".join(finding_line(problem.severity, problem.message, problem.fix) for problem in self.problems)
        return block([f"<b>{'Ready' if self.ready else 'Not ready'}</b>", f"<ul>{lines}</ul>" if lines else ""])
