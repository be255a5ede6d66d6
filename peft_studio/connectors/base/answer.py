"""What a platform answered, and what that means: the error map that all connectors share.

Knows status codes and the usual shapes of error bodies; a platform's own codes are read in its ``api.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from peft_studio.core.errors import (
    BadResponse,
    ConnectorError,
    Forbidden,
    NotAuthorised,
    NotFound,
    RateLimited,
    Refused,
    Unavailable,
)

SAID_CHARACTERS = 300
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


@dataclass(frozen=True, slots=True)
class Platform:
    """Whom a door leads to, as its errors name it. ``keys_url``: the page where its keys are made."""

    name: str
    title: str
    keys_url: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has arrived whole. Header names are in lower case."""

    platform: Platform
    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            BadResponse: It is none.
        """
        return parse_json(self.platform, self.content, status=self.status)

    def record(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            BadResponse: It is none.
        """
        found = self.json()
        if not isinstance(found, dict):
            raise unreadable(self.platform, f"a {type(found).__name__} where an object belongs", status=self.status)
        return found

    def listed(self, name: str = "") -> list[Any]:
        """The body, or a field of it, as a list: something else is no empty list.

        Raises:
            BadResponse: It is none.
        """
        found = self.record().get(name) if name else self.json()
        if not isinstance(found, list):
            raise unreadable(self.platform, f"a {type(found).__name__} where a list belongs", status=self.status)
        return found

    @property
    def next_url(self) -> str | None:
        """The next page, from a ``Link`` header with rel="next"."""
        found = _NEXT.search(self.headers.get("link", ""))
        return str(httpx.URL(self.url).join(found[1])) if found else None


def parse_json(platform: Platform, text: bytes | str, *, status: int | None = None) -> Any:
    """Text of a platform as JSON.

    Raises:
        BadResponse: It is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise unreadable(platform, "no JSON", status=status) from exc


def unreadable(platform: Platform, what: str, *, status: int | None = None) -> BadResponse:
    """The error for an answer that is not what the platform's API promises."""
    return BadResponse(
        f"{platform.title} sent {what}.",
        hint="Try again. If it stays, a proxy or login page of your network may be answering in its place, or its API has changed.",
        platform=platform.name,
        status=status,
    )


def build_error(answer: Answer, *, retry_after_s: float | None = None) -> ConnectorError:
    """The typed error of an answer with a status of 400 or above, with the platform's own words. The door takes secrets out."""
    platform, status = answer.platform, answer.status
    words = find_words(answer.content)[:SAID_CHARACTERS]
    kind, meaning, hint = _meaning(platform, status, retry_after_s)
    message = f"{platform.title} {meaning} ({status})" + (f": {words}" if words else ".")
    return kind(message, hint=hint, platform=platform.name, status=status, retry_after_s=retry_after_s)


def find_words(body: bytes) -> str:
    """The sentence in an error body: JSON's ``error``, ``message``, ``detail`` or ``title``, or short plain text."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        text = body[: SAID_CHARACTERS * 2].decode("utf-8", "replace").strip()
        return "" if text.startswith("<") else text
    for _ in range(3):
        if isinstance(found, dict):
            found = next((found[name] for name in ("error", "message", "detail", "title") if found.get(name)), "")
        elif isinstance(found, list) and found:
            found = found[0]
    return found if isinstance(found, str) else ""


def _meaning(platform: Platform, status: int, retry_after_s: float | None) -> tuple[type[ConnectorError], str, str]:
    """Class, predicate and next action of a status."""
    keys = f" at {platform.keys_url}" if platform.keys_url else ""
    if status == 401:
        return NotAuthorised, "does not know this key", f"Look at the key{keys}, or make a new one, and connect again."
    if status == 407:
        return (
            Unavailable,
            "is behind a proxy that wants a password",
            "Put it into HTTPS_PROXY: http://name:password@proxy:port.",
        )
    if status == 403:
        return (
            Forbidden,
            "does not let this key do that",
            f"The key{keys} may lack a permission, or the account access.",
        )
    if status in (404, 410):
        return (
            NotFound,
            "has no such thing",
            "Look at the spelling; what is private shows only with a key that may see it.",
        )
    if status == 429:
        wait = f"in {retry_after_s:.0f} s" if retry_after_s else "in a few minutes"
        return RateLimited, "asks for fewer requests", f"Try again {wait}."
    if status >= 500 or status in (408, 425):
        return Unavailable, "has trouble of its own", "Try again in a few minutes; its status page may say more."
    return Refused, "refused", "What it said above names the reason."
