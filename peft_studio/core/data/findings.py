"""One thing found about a data set: how bad, which rows, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from peft_studio.core.data.scan import SHOWN_ROWS

Severity = Literal["blocking", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("blocking", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """Something found. ``rows`` are the first row numbers (from 0) of ``count``; ``fix`` says what to do in words.

    ``fix_action`` is the same for a machine, where it can be: ``{"leave_out": (3, 17)}`` for
    :meth:`Dataset.leave_out`, or run spec fields such as ``{"max_length": 2048}``.
    """

    code: str
    severity: Severity
    message: str
    rows: tuple[int, ...] = ()
    count: int = 0
    fix: str = ""
    fix_action: Mapping[str, Any] | None = None

    def on(self, numbers: Sequence[int], *, count: int | None = None, can_leave_out: bool = True) -> Finding:
        """The same finding about these rows (``count`` if more were met), settled by leaving them out if that helps."""
        count = len(numbers) if count is None else count
        action = {"leave_out": tuple(numbers)} if can_leave_out and count == len(numbers) else self.fix_action
        return replace(self, rows=tuple(numbers[:SHOWN_ROWS]), count=count, fix_action=action)

    def __str__(self) -> str:
        rows = (
            f" Rows {', '.join(map(str, self.rows))}{' …' if self.count > len(self.rows) else ''}." if self.rows else ""
        )
        fix = f" → {self.fix}" if self.fix else ""
        return f"{self.severity}: {self.message}{rows}{fix}"


def without_rows(findings: Sequence[Finding], left_out: Sequence[int]) -> tuple[Finding, ...]:
    """The findings that leaving out these rows does not settle."""
    gone = set(left_out)
    return tuple(finding for finding in findings if not _rows_of(finding) or not _rows_of(finding) <= gone)


def _rows_of(finding: Finding) -> set[int]:
    """Every row that a finding is about; none when it does not name them all."""
    if rows := (finding.fix_action or {}).get("leave_out"):
        return set(rows)
    return set(finding.rows) if finding.count == len(finding.rows) else set()
