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
    ├── VaultError           keys cannot be kept or read; never quotes one
    │   ├── VaultLocked      the vault waits for its passphrase or for the system's keystore
    │   ├── WrongPassphrase  that passphrase does not open it
    │   └── VaultDamaged     the vault's file is not as it was written
    ├── RentError            what is known of rented machines cannot be read or written
    │   └── OverBudget       a cap leaves no room for it
    ├── MissingExtra         an optional part of PEFT Studio is not installed
    └── ConnectorError       a platform could not do what was asked; says which, and whether it may have been done all the same
        ├── NotAuthorised    it does not know the key, or there is none
        ├── Forbidden        it knows the key, which may not do this
        ├── NotFound         it has no such thing, or does not show it to this account
        ├── Refused          it understood and said no: a conflict, a value it does not take
        │   └── SoldOut      the machine is not to be had now; nothing was made
        ├── RateLimited      too many requests; carries how long to wait
        ├── Unavailable      it cannot be reached, is too slow, or fails
        ├── Untrusted        what answers cannot prove that it is the platform, or sends keys elsewhere
        ├── BadResponse      it answered with what cannot be read: cut short, too large, no JSON
        │   └── Corrupt      a file arrived whole and is not the one that was promised
        ├── Cancelled        a transfer was called off; what has arrived is kept
        ├── NoRoom           the disk has no room for it
        └── BadConnector     a connector breaks the contract of its role; names every clause

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


class VaultError(StudioError):
    """Keys cannot be kept or read. No message of it ever quotes one."""


class VaultLocked(VaultError):
    """The vault waits for its passphrase, or for a keystore that cannot be reached now."""


class WrongPassphrase(VaultError):
    """That passphrase does not open the vault."""


class VaultDamaged(VaultError):
    """The vault's file is not as it was written."""


class Offline(StudioError):
    """What needs the network was asked for without one."""


class NotCached(StudioError):
    """It was never fetched here, and cannot be now."""


class OutboxError(StudioError):
    """The outbox cannot take, open or repair an operation."""


class OutboxFull(OutboxError):
    """The outbox has no room."""


class RentError(StudioError):
    """What is known of rented machines cannot be read or written."""


class OverBudget(RentError):
    """A cap in dollars leaves no room for it."""


class MissingExtra(StudioError):
    """An optional part of PEFT Studio is not installed."""


class ConnectorError(StudioError):
    """A platform could not do what was asked.

    Attributes:
        platform: Its name in the catalog.
        status: What it answered, where it did.
        retry_after_s: How long it asked to be left alone, where it said so.
        may_have_happened: The request left here and no answer came: look before asking again.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        platform: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
        may_have_happened: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.platform = platform
        self.status = status
        self.retry_after_s = retry_after_s
        self.may_have_happened = may_have_happened


class NotAuthorised(ConnectorError):
    """The platform does not know the key, or there is none."""


class Forbidden(ConnectorError):
    """The platform knows the key, which may not do this."""


class NotFound(ConnectorError):
    """The platform has no such thing, or does not show it to this account."""


class Refused(ConnectorError):
    """The platform understood and said no."""


class SoldOut(Refused):
    """The machine is not to be had now. Nothing was made."""


class RateLimited(ConnectorError):
    """Too many requests."""


class Unavailable(ConnectorError):
    """The platform cannot be reached, is too slow, or fails."""


class Untrusted(ConnectorError):
    """What answers cannot prove that it is the platform, or would send keys elsewhere."""


class BadResponse(ConnectorError):
    """The platform answered with what cannot be read."""


class Corrupt(BadResponse):
    """A file arrived whole and is not the one that was promised."""


class Cancelled(ConnectorError):
    """A download or an upload was called off. What has arrived is kept."""


class NoRoom(ConnectorError):
    """The disk has no room for what was to be downloaded."""


class BadConnector(ConnectorError):
    """A connector breaks the contract of its role."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the right spelling: ``Did you mean 'rank'?``, or the choices when nothing is near."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else "Choose from: " + ", ".join(choices) + "."
