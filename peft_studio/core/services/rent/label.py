"""The name that a rented machine carries: whose it is, which attempt of which run, and when it must be gone.

``ps-<home>-<run>-<attempt>-<end>``: the end is the last second of its life, in hexadecimal, decided before it was made and never moved.
So any computer of the account can tell a machine that has outlived itself, without asking the one that made it. Of one that waits in its provider's
line nobody knows the end before: its own brake alone does.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from peft_studio.core.ports.rental import LABEL_PREFIX

NEVER_S = 0xFFFFFFFF  # its end is not known
_LABEL = re.compile(r"ps-([0-9a-f]{6})-([a-z0-9-]{1,40})-([1-9][0-9]{0,4})-([0-9a-f]{8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tag:
    """What a label says. ``ends_at_s``: None where nobody could know."""

    home: str
    run_id: str
    attempt: int
    ends_at_s: int | None


def new_home_tag() -> str:
    """Six characters that tell the homes of one account apart."""
    return secrets.token_hex(3)


def build_label(home: str, run_id: str, attempt: int, *, ends_at_s: float) -> str:
    """The label of one attempt."""
    label = f"{LABEL_PREFIX}{home}-{run_id}-{attempt}-{int(ends_at_s):08x}"
    if read_label(label) is None:
        raise ValueError(f"{label!r} is no label: run ids are small letters, digits and hyphens, at most 40")
    return label


def is_ours(label: str) -> bool:
    """Whether PEFT Studio made it, in whichever home. Nothing else may ever be touched."""
    return label.startswith(LABEL_PREFIX)


def read_label(label: str) -> Tag | None:
    """What a label says; None for one that no home of this version wrote."""
    found = _LABEL.fullmatch(label)
    if found is None:
        return None
    ends_at_s = int(found[4], 16)
    return Tag(found[1], found[2], int(found[3]), ends_at_s if ends_at_s != NEVER_S else None)
