"""What went wrong in a run, as its log keeps it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Suggestion(BaseModel):
    """A way on: the fields to change, and what that costs."""

    model_config = ConfigDict(frozen=True)
    title: str
    why: str
    changes: dict[str, Any]


class Failure(BaseModel):
    """What went wrong, typed, with what is needed to understand it and to go on."""

    model_config = ConfigDict(frozen=True)
    code: str
    message: str
    hint: str = ""
    trace: str = ""
    step: int | None = None
    suggestions: tuple[Suggestion, ...] = ()
