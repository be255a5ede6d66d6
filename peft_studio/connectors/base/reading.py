"""Reading what a platform's JSON says, field by field. A field of an unexpected kind is unknown, not an error: one odd entry must not
take a whole page away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

WORD = 300  # characters that a field of one line may have, as in core.ports


def text(record: Mapping[str, Any], name: str) -> str | None:
    """A text that is not empty, cut to one line's length."""
    found = record.get(name)
    return found.strip()[:WORD] or None if isinstance(found, str) else None


def count(record: Mapping[str, Any], name: str) -> int | None:
    """A whole number from 0 up."""
    found = record.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def when(record: Mapping[str, Any], name: str) -> datetime | None:
    """A time as ISO 8601; without a zone it is UTC."""
    found = record.get(name)
    try:
        then = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None
    return then if then is None or then.tzinfo else then.replace(tzinfo=UTC)


def record(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object; empty where there is none."""
    found = of.get(name)
    return found if isinstance(found, Mapping) else {}


def records(found: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of a list."""
    yield from (one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else ()


def words(of: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Texts, given as one or as a list."""
    found = of.get(name)
    listed = found if isinstance(found, list) else [found]
    return tuple(one[:WORD] for one in listed if isinstance(one, str) and one)
