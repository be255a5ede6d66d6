"""Ids that sort by time, so that a listing of folders is already in order."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_RUN_ID = re.compile(r"^r-\d{8}-\d{6}-[0-9a-f]{6}$")


def new_run_id() -> str:
    """``r-20261122-203412-9f31ac``: UTC second of creation and 24 random bits."""
    return f"r-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def is_run_id(text: str) -> bool:
    """Whether this is a run id; anything else must never become part of a path."""
    return bool(_RUN_ID.match(text))
