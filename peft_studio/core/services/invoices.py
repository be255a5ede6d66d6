"""What providers say that they charged, brought home: it takes the place of our own count. One that fails keeps its estimates, and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from peft_studio.core.compute.ledger import Life, cost
from peft_studio.core.errors import ConnectorError
from peft_studio.core.ports.rental import Bills, Charge
from peft_studio.core.services.rent.desk import Desk
from peft_studio.core.services.rent.store import Bill

EVER_S = float("inf")
BEFORE = timedelta(hours=1)  # a charge is of a whole hour, which may have begun before the machine did


def fetch_bills(desk: Desk, bills_of: Mapping[str, Bills], *, why_not: Mapping[str, str]) -> list[str]:
    """Ask each provider with machines of ours for what is still estimated, and keep it. Returns what a person should know.

    Args:
        bills_of: Those that can be asked, by name.
        why_not: Why others cannot.
    """
    lives, now_s = desk.lives(), desk.now().wall_s
    notes = []
    for name in sorted({life.provider for life in lives}):
        open_ones = [
            life
            for life in lives
            if life.provider == name and cost(life, -EVER_S, EVER_S, now_s=now_s).is_estimate and life.stretches
        ]
        if not open_ones:
            continue
        if name not in bills_of:
            notes.append(f"{name}: {why_not.get(name) or 'not connected, so it cannot be asked what it charged.'}")
            continue
        since = datetime.fromtimestamp(min(life.stretches[0].begin_s for life in open_ones), UTC) - BEFORE
        try:
            charges = bills_of[name].list_charges(since).charges
        except ConnectorError as exc:
            notes.append(f"{name} did not say what it charged: {exc.message}")
            continue
        bills = build_bills(charges, [life for life in lives if life.provider == name], now_s=now_s)
        desk.add_bills(bills)
        notes.append(f"{name}: {len(bills)} charges." if bills else f"{name} has not charged for these machines yet.")
    return notes


def build_bills(charges: Sequence[Charge], lives: Sequence[Life], *, now_s: float) -> list[Bill]:
    """Charges for our machines. One whose time is not over still grows, and would hide what is spent meanwhile: it is left for later."""
    ours = {life.instance_id for life in lives}
    return [
        Bill(one.instance_id, one.begin_at.timestamp(), one.end_at.timestamp(), one.usd)
        for one in charges
        if one.instance_id in ours and one.end_at.timestamp() <= now_s
    ]
