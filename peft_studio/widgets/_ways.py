"""Ways on: what a run's warnings and its failure suggest, in words for a button and as Python that does the same."""

from __future__ import annotations

from typing import Any

from peft_studio.core.runs import events as ev
from peft_studio.core.runs.folder import RunFolder
from peft_studio.widgets._code import retry_code
from peft_studio.widgets._text import plain, tail

_NAME, _TRACE = 300, 12_000  # characters

Section = dict[str, Any]


def build_warning(folder: RunFolder, event: ev.Warned) -> Section:
    """A warning, with the run that its changes would make."""
    return {
        "seq": event.seq,
        "code": event.code,
        "step": event.step,
        "message": plain(event.message),
        "hint": plain(event.hint),
        "way": _way(folder, event.changes),
    }


def _way(folder: RunFolder, changes: dict[str, Any]) -> dict[str, str] | None:
    return {"title": try_words(changes), "code": _code(folder, changes)} if changes else None


def build_failure_view(folder: RunFolder, failure: ev.Failure) -> Section:
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
                "code": _code(folder, s.changes),
            }
            for s in failure.suggestions
        ],
    }


def _code(folder: RunFolder, changes: dict[str, Any]) -> str:
    return plain(retry_code(folder, changes), limit=_TRACE)


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
