"""Connections as a user meets them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from peft_studio.core.ports.platform import Account, Role
from peft_studio.core.services.table import Table
from peft_studio.core.words import duration

State = Literal["connected", "not connected", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Connection:
    """A platform and how it stands. ``why_not``: a sentence, where it is not connected although it was, or fails, or was refused."""

    name: str
    title: str
    roles: tuple[Role, ...]
    state: State
    account: Account | None = None
    why_not: str = ""

    @classmethod
    def of_refused(cls, name: str, why: str) -> Connection:
        """A connector that breaks its contract."""
        return cls(name, name, (), "refused", why_not=why)

    def __str__(self) -> str:
        who = f" as {self.account.name}" if self.account else ""
        note = f" {self.account.note}" if self.account and self.account.note else ""
        return f"{self.title}: {self.state}{who}.{note}{' ' + self.why_not if self.why_not else ''}"

    __repr__ = __str__


class ConnectionList(Table[Connection]):
    """Platforms, by title; what is disabled is not among them."""

    HEADS = ("platform", "role", "state", "account", "may write", "last check", "why not")
    nothing = "No platforms."

    def cells(self, row: Connection) -> tuple[str, ...]:
        """A row's texts."""
        account = row.account
        writes = {True: "yes", False: "no", None: "—"}[account.can_write if account else None]
        checked = "—"
        if account:
            checked = f"{duration((datetime.now(UTC) - account.checked_at).total_seconds())} ago"
        name = account.name if account else "—"
        return row.name, ", ".join(row.roles) or "—", row.state, name, writes, checked, row.why_not or "—"
