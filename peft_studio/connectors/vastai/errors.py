"""Vast.ai's ways to say no: JSON with ``success: false``, ``error`` and ``msg``, at times with status 200; plain text from its limiter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from peft_studio.connectors.base.answer import SAID_CHARACTERS, Answer, Platform, build_error
from peft_studio.connectors.base.reading import text
from peft_studio.connectors.vastai import INFO
from peft_studio.core.errors import ConnectorError, NotAuthorised, NotFound, RateLimited, Refused, SoldOut

PLATFORM = Platform(INFO.name, INFO.title, INFO.docs_url)


class NoSuch(NotFound):
    """Vast.ai itself says so; another 404 may come from anybody on the way."""


class MadeAnyway(Refused):
    """It said no and named a machine that it made all the same."""


def read_error(answer: Answer) -> ConnectorError | None:
    """What an answer says no with; None where it is no object of Vast.ai's."""
    try:
        said = answer.record()
    except ConnectorError:
        return None
    return build_no(said, answer)


def build_no(said: Mapping[str, Any], answer: Answer) -> ConnectorError:
    """The error of a body, whatever its status: a wrong key of the search is a 404, a taken offer a 404 or 410."""
    code, words = text(said, "error") or "", (text(said, "msg") or text(said, "detail") or "")[:SAID_CHARACTERS]
    usual = build_error(answer)
    given: dict[str, Any] = {"platform": INFO.name, "status": answer.status}
    shown = f"Vast.ai says: {(words or code or 'no').rstrip('.')} ({answer.status})."
    if said.get("new_contract") is not None:
        return MadeAnyway(shown, hint="A machine was made all the same: look at the list and end it.", **given)
    if "no_such_ask" in f"{code} {words}":
        return SoldOut(
            "Another has rented this machine, or its owner took it back.", hint="Take another offer.", **given
        )
    if code == "search_quota_exceeded":
        return RateLimited(
            "Vast.ai's searches of today are used up; there are new ones at midnight UTC.",
            hint="Offers that were found before can still be bought.", retry_after_s=_until_midnight_s(), **given,
        )  # fmt: skip
    if code == "auth_error" or "invalid user key" in words.lower():
        return NotAuthorised(
            f"Vast.ai does not know this key ({answer.status}).",
            hint=f"Look at the key at {INFO.docs_url}, or make a new one, and connect again.", **given,
        )  # fmt: skip
    if answer.status == 404 and said.get("success") is False:
        return NoSuch(shown, hint=usual.hint, **given)
    return type(usual)(shown, hint=usual.hint, **given) if words or code else usual


def _until_midnight_s() -> float:
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()
