"""Every error a user can meet.

    StudioError
    ├── DataError            a data source cannot be read or used; names file and line
    ├── SpecError            a run spec is wrong; names the field
    ├── ModelError           a base model cannot be found, read or trusted
    ├── NotReadyError        preflight found blocking problems; carries them
    ├── RunNotFound          no run of that id in this home
    ├── RunFailed            a run ended without a usable adapter; carries its failure
    ├── RunStateError        the run is in a state in which that cannot be done
    ├── AdapterMismatch      an adapter does not fit the base model it is asked to join
    ├── ChatError            the chat process could not answer
    ├── Offline              what needs the network was asked for without one
    ├── NotCached            it was never fetched here, and cannot be now
    ├── OutboxError          the outbox cannot take, open or repair an operation
    │   └── OutboxFull       it has no room
    └── MissingExtra         an optional part of PEFT Studio is not installed

An error is a small instruction: the message says what failed, where and why if known; ``hint`` says what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class StudioError(Exception):
    """Something PEFT Studio could not do. ``hint`` is the next action; ``fields`` name the inputs at fault."""

    def __init__(self, message: str, *, hint: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class DataError(StudioError):
    """A data source cannot be read or used."""


class SpecError(StudioError):
    """A run spec is wrong. ``by_field`` has each field's own words, for showing them beside it."""

    def __init__(
        self, message: str, *, hint: str = "", fields: tuple[str, ...] = (), by_field: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint, fields=fields)
        self.by_field = dict(by_field or {})


class ModelError(StudioError):
    """A base model cannot be found, read or trusted."""


class NotReadyError(StudioError):
    """Preflight found problems that block a launch."""


class RunNotFound(StudioError):
    """There is no run of that id in this home."""


class RunFailed(StudioError):
    """A run ended without a usable adapter."""


class RunStateError(StudioError):
    """The run is in a state in which that cannot be done."""


class AdapterMismatch(StudioError):
    """An adapter does not fit the base model it is asked to join. ``code`` is the first reason's, as in ``Mismatch``."""

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ChatError(StudioError):
    """The chat process could not answer."""


class Offline(StudioError):
    """What needs the network was asked for without one."""


class NotCached(StudioError):
    """It was never fetched here, and cannot be now."""


class OutboxError(StudioError):
    """The outbox cannot take, open or repair an operation."""


class OutboxFull(OutboxError):
    """The outbox has no room."""


class MissingExtra(StudioError):
    """An optional part of PEFT Studio is not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the right spelling: ``Did you mean 'rank'?``, or the choices when nothing is near."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else "Choose from: " + ", ".join(choices) + "."
