"""A run's failure as a user meets it: with suggestions that are whole, launchable specs."""

from __future__ import annotations

from dataclasses import dataclass

from peft_studio.core.defaults import ExplainedSpec
from peft_studio.core.markup import block, facts, table
from peft_studio.core.runs.events import Failure


@dataclass(frozen=True, slots=True)
class SuggestedSpec:
    """A way on. ``studio.launch(suggestion.spec)`` takes it."""

    title: str
    why: str
    changes: dict[str, object]
    spec: ExplainedSpec


class RunFailure:
    """What went wrong in a run, and how to go on."""

    def __init__(self, failure: Failure, spec: ExplainedSpec) -> None:
        self._failure = failure
        self._spec = spec

    @property
    def code(self) -> str:
        return self._failure.code

    @property
    def message(self) -> str:
        return self._failure.message

    @property
    def hint(self) -> str:
        return self._failure.hint

    @property
    def trace(self) -> str:
        """The stack trace, or the last lines of output when the trainer left none."""
        return self._failure.trace

    @property
    def step(self) -> int | None:
        return self._failure.step

    @property
    def suggestions(self) -> list[SuggestedSpec]:
        """Ways on, the most promising first."""
        return [
            SuggestedSpec(s.title, s.why, s.changes, self._spec.replace(**s.changes)) for s in self._failure.suggestions
        ]

    def __repr__(self) -> str:
        lines = [f"{self.code}: {self.message}", f"  → {self.hint}"]
        for number, way in enumerate(self._failure.suggestions):
            changes = ", ".join(f"{key}={value!r}" for key, value in way.changes.items())
            lines.append(f"  suggestions[{number}] {way.title}: {changes}. {way.why}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        ways = [
            (way.title, ", ".join(f"{key}={value}" for key, value in way.changes.items()), way.why)
            for way in self._failure.suggestions
        ]
        parts = [facts([("failed", self.code), ("what", self.message), ("next", self.hint)])]
        return block([*parts, table(("suggestion", "changes", "why"), ways)] if ways else parts)
