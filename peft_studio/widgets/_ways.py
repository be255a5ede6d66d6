"""Ways on: what a run's warnings and its failure suggest, in words for a button and as Python that does the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peft_studio.core.runs import events as ev
from peft_studio.widgets._text import plain, tail

_NAME, _TRACE = 300, 12_000  # characters

Section = dict[str, Any]


def build_warning(run_id: str, event: ev.Warned) -> Section:
    """A warning, with the run that its changes would make."""
    return {
        "seq": event.seq,
        "code": event.code,
        "step": event.step,
        "message": plain(event.message),
        "hint": plain(event.hint),
        "way": _way(run_id, event.changes),
    }


def _way(run_id: str, changes: dict[str, Any]) -> dict[str, str] | None:
    return {"title": try_words(changes), "code": retry_code(run_id, changes)} if changes else None


def build_failure_view(run_id: str, failure: ev.Failure) -> Section:
    """What went wrong, and every way out of it."""
    return {
        "code": failure.code,
        "message": plain(failure.message),
        "hint": plain(failure.hint),
        "step": failure.step,
        "trace": tail(failure.trace, limit=_TRACE),
        "suggestions": [
            {
                "title": plain(s.title),
                "why": plain(s.why),
                "changes": _changes(s.changes),
                "code": retry_code(run_id, s.changes),
            }
            for s in failure.suggestions
        ],
    }


def _changes(changes: dict[str, Any]) -> list[list[str]]:
    """Fields of the spec and their new values, as Python would write them."""
    return [[plain(name, limit=_NAME), plain(repr(value), limit=_NAME)] for name, value in changes.items()]


def try_words(changes: dict[str, Any]) -> str:
    """What a button says that starts a run with these fields changed: ``Try learning rate 1e-4``."""
    words = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in changes.items()]
    return plain(f"Try {', '.join(words)}", limit=_NAME)


def _short(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if not 0 < abs(value) < 0.01:
        return f"{value:g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def show_code(run_id: str, overlaid: Sequence[str] = ()) -> str:
    """The Python that shows the same panel, with the same runs laid over it."""
    chosen = f"studio.session.choose(overlaid={tuple(overlaid)!r})\n" if overlaid else ""
    return f"from peft_studio import studio\n\n{chosen}studio.run({run_id!r}).show()"


def retry_code(run_id: str, changes: dict[str, Any]) -> str:
    """The Python that starts the run again with these fields changed."""
    fields = ", ".join(f"{name}={value!r}" for name, value in changes.items())
    return plain(f"studio.launch(studio.run({run_id!r}).spec.replace({fields}))", limit=_TRACE)
