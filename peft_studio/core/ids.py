"""Ids that sort by time, so that a listing of folders is already in order, and so is a line of waiting runs."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_RUN_ID = re.compile(r"r-\d{8}-\d{6}-[0-9a-f]{6}", re.ASCII)


def new_run_id() -> str:
    """``r-20261122-203412-9f31ac``: UTC second of creation, its fraction in 65,536ths, and 8 random bits."""
    now = datetime.now(UTC)
    fraction = now.microsecond * 65_536 // 1_000_000
    return f"r-{now:%Y%m%d-%H%M%S}-{fraction:04x}{secrets.token_hex(1)}"


def is_run_id(text: str) -> bool:
    """Whether this is a run id; anything else must never become part of a path."""
    return bool(_RUN_ID.fullmatch(text))
