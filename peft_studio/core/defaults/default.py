"""A default: a value with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Default:
    """A value, why it, and who says so: a paper, a project's guide, or 'PEFT Studio' where the choice is ours."""

    value: Any
    why: str
    source: str
