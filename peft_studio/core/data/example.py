"""What one row means, in one shape for every format: turns or a text.

Owns :class:`Message` and :class:`Example`. Knows nothing of files, formats or tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from peft_studio.core.errors import DataError

ASSISTANT = "assistant"

Kind = Literal["chat", "pair", "text"]


class RowMisfit(DataError):
    """A row that cannot be read as the format its data set was recognised as. ``row`` counts from 0."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(f"Row {row}: {why}.", hint="Mend the row in its source, or leave it out: data.leave_out([…]).")
        self.row = row
        self.why = why


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``extra`` is what else a chat template may read: tool_calls, name, tool_call_id, reasoning_content …"""

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The turn as chat templates expect it."""
        return {"role": self.role, "content": self.content, **self.extra}


@dataclass(frozen=True, slots=True)
class Example:
    """What a row teaches.

    ``kind`` is ``chat`` (turns that need a chat template), ``pair`` (a prompt and its completion: two turns where the
    model has a template, else plain text one after the other) or ``text`` (every token is learnt). ``row`` counts
    from 0 in the source. ``notes`` are codes for what was changed to make the row fit, such as ``number-as-text``.
    """

    row: int
    kind: Kind
    messages: tuple[Message, ...] | None = None
    text: str | None = None
    tools: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()
