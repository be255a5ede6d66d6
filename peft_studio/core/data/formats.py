"""Which format a data set is in: the names, the columns each needs, and what those columns are called out there.

Recognition itself is in :mod:`recognise`; reading a row is in :mod:`build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FORMATS = ("messages", "sharegpt", "alpaca", "prompt-completion", "text", "tools", "preference")

# Format → columns it cannot do without, then those it may have.
NEEDS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "tools": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
    "prompt-completion": ("prompt", "completion"),
    "text": ("text",),
    "preference": ("chosen", "rejected"),
}
MAY_HAVE: dict[str, tuple[str, ...]] = {
    "messages": ("tools",),
    "tools": ("tools",),
    "sharegpt": ("system", "tools"),
    "alpaca": ("input", "system"),
    "prompt-completion": ("system",),
    "text": (),
    "preference": ("prompt", "system"),
}
OUR_COLUMNS = tuple(dict.fromkeys(name for table in (NEEDS, MAY_HAVE) for names in table.values() for name in names))

# Columns that hold turns; which of messages and sharegpt it is, the turns themselves say.
TURN_COLUMNS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog", "turns")
# Names that question and answer go by, in the order of preference.
PAIRS = (
    ("prompt", "completion"), ("prompt", "response"), ("prompt", "output"), ("prompt", "answer"),
    ("question", "answer"), ("question", "response"), ("instruction", "response"), ("instruction", "completion"),
    ("instruction", "answer"), ("query", "response"), ("query", "answer"), ("input", "output"), ("input", "target"),
    ("source", "target"), ("user", "assistant"), ("human", "assistant"), ("problem", "solution"), ("problem", "answer"),
    ("article", "summary"), ("document", "summary"), ("dialogue", "summary"), ("inputs", "targets"), ("q", "a"),
)  # fmt: skip
TEXT_COLUMNS = ("text", "content", "document", "body")


@dataclass(frozen=True)
class Recognised:
    """A format, how sure we are (0 to 1), why, and our column name → the data set's.

    ``given`` says that the user named the format or columns, so that opening the data again must name them too.
    """

    name: str
    confidence: float
    why: str
    columns: Mapping[str, str] = field(default_factory=dict)
    given: bool = False

    def __str__(self) -> str:
        renamed = ", ".join(f"{ours} ← {theirs}" for ours, theirs in self.columns.items() if ours != theirs)
        return f"{self.name} ({self.confidence:.0%} sure: {self.why}{'; ' + renamed if renamed else ''})"

    def __repr__(self) -> str:
        return f"<{self}>"
