"""Under which licence a base model stands, as far as its own folder says. Reads the head of its README; knows no law."""

from __future__ import annotations

import re
from pathlib import Path

from peft_studio.core.models.catalog import find_embedded

OPEN = frozenset(
    {
        "apache-2.0",
        "mit",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "isc",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-sa-4.0",
        "unlicense",
    }
)  # free to use, change and sell with little more than a notice
_HEAD = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)
_FIELD = re.compile(r"^(license|license_name):\s*['\"]?([\w.+-]+)", re.MULTILINE)
_HEAD_CHARACTERS = 20_000


def find_licence(name: str, folder: Path) -> str | None:
    """The licence's short name, in lower case; None where nothing names it."""
    if embedded := find_embedded(name):
        return embedded.license.lower()
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            head = _HEAD.match(file.read(_HEAD_CHARACTERS))
    except OSError:
        return None
    named = dict(_FIELD.findall(head[1])) if head else {}
    licence = named.get("license", "").lower()
    return (named.get("license_name", "").lower() or licence if licence == "other" else licence) or None


def is_open(licence: str) -> bool:
    """Whether it lets anybody use, change and sell."""
    return licence in OPEN
