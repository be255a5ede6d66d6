"""What a purchase at Vast.ai says: the container, its environment, and a first command of at most 4,048 characters that brings the boot
script along. Pure.
"""

from __future__ import annotations

import base64
import gzip
import math
import re
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any

from peft_studio.connectors.vastai import INFO
from peft_studio.core.compute import MONTH_HOURS
from peft_studio.core.errors import Refused
from peft_studio.core.ports.rental import Rent

# Vast.ai's own image in the version that fits the host's driver; the one that its API takes where none is named, so hosts have it.
IMAGE = "vastai/base-image:@vastai-automatic-tag"
RUNTYPE = "ssh_direct"  # with a shell to log in to; the boot script comes by ``onstart``
MOST_ONSTART = 4048  # characters, by its API's documentation
MOST_VARIABLE_BYTES = 100_000  # Linux takes 128 KiB
BOOT = "PEFT_STUDIO_BOOT"
RUN_BOOT = '{source} | base64 -d | gzip -d >"${{TMPDIR:-/tmp}}/boot.sh" && exec bash "${{TMPDIR:-/tmp}}/boot.sh"'
LOWEST_BID = Decimal("0.001")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GB = 2**30 / 1e9


def disk_gb(disk_gib: int) -> int:
    """So many GiB in the gigabytes that Vast.ai counts, rounded up."""
    return math.ceil(disk_gib * _GB)


def build_purchase(rent: Rent) -> dict[str, Any]:
    """The body that accepts ``rent.offer``.

    Raises:
        Refused: It costs more than was agreed to, or does not fit. Nothing was sent.
    """
    env = {**rent.settings, **{name: value.reveal() for name, value in rent.secrets.items()}}
    onstart, more = _pack(rent.boot)
    env |= more
    _require_sound(env)
    bid = _find_bid(rent)
    return {
        "image": IMAGE,
        "disk": disk_gb(rent.disk_gib),
        "label": rent.label,
        "runtype": RUNTYPE,
        "onstart": onstart,
        "env": {**env, **{f"-p {port}:{port}": "1" for port in rent.ports}},
        "target_state": "running",
        "cancel_unavail": True,  # else it may be made and stand there stopped
        **({"price": float(bid)} if bid is not None else {}),
    }


def _pack(boot: str) -> tuple[str, dict[str, str]]:
    """The first command, and what it needs of the environment where the script is too long for it."""
    packed = base64.b64encode(gzip.compress(boot.encode(), mtime=0)).decode()
    inline = RUN_BOOT.format(source=f"echo {packed}")
    if len(inline) <= MOST_ONSTART:
        return inline, {}
    return RUN_BOOT.format(source=f'echo "${BOOT}"'), {BOOT: packed}


def _find_bid(rent: Rent) -> Decimal | None:
    """Of a spot machine, without its disk; always sent, because without a price it is rented on demand."""
    most = rent.max_usd_per_hour
    if most is not None and most < rent.offer.usd_per_hour:
        raise _refused(
            f"It costs ${rent.offer.usd_per_hour:.4f}/h, more than the ${most}/h that was agreed to.",
            "Agree to more, or take another offer.",
        )
    if not rent.offer.spot:
        return None
    disk = rent.offer.storage_usd_per_gb_month * rent.offer.holds_disk_gb / MONTH_HOURS
    bid = ((most or rent.offer.usd_per_hour) - disk).quantize(Decimal("0.000001"), rounding=ROUND_DOWN)
    return max(LOWEST_BID, bid)


def _require_sound(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not _NAME.fullmatch(name):
            raise _refused(f"{name!r} cannot be the name of a variable.", "Names have letters, digits and _.")
        if len(value.encode()) > MOST_VARIABLE_BYTES:
            raise _refused(
                f"{name} is larger than an environment takes ({len(value.encode()):,} of {MOST_VARIABLE_BYTES:,} bytes).",
                "Let the boot script fetch what it needs instead of carrying it.",
            )


def _refused(what: str, hint: str) -> Refused:
    return Refused(f"{what} Nothing was sent.", hint=hint, platform=INFO.name)
