"""What providers say that they charged takes the place of estimates; what one does not say stays one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import AwareDatetime

from peft_studio.core.errors import Unavailable
from peft_studio.core.ports.rental import Charge, Invoice
from peft_studio.core.services.invoices import BEFORE, fetch_bills
from peft_studio.core.services.rent.desk import Desk
from tests.rent_home import RentHome


class Provider:
    """Charges as given, or an error."""

    def __init__(self, *charges: Charge, error: Unavailable | None = None) -> None:
        self.charges, self.error = charges, error
        self.asked: list[datetime] = []

    def list_charges(self, since: AwareDatetime) -> Invoice:
        self.asked.append(since)
        if self.error:
            raise self.error
        return Invoice(charges=self.charges)


def build_charge(desk: Desk, usd: str, *, hours: float = 1.0, instance_id: str = "") -> Charge:
    """Of the first machine, from its beginning; a moment longer, as a date holds no less than a microsecond."""
    life = desk.lives()[0]
    begin = datetime.fromtimestamp(life.stretches[0].begin_s, UTC)
    return Charge(
        instance_id=instance_id or life.instance_id, begin_at=begin, end_at=begin + timedelta(hours=hours, milliseconds=1), usd=Decimal(usd)
    )  # fmt: skip


def test_charges_of_our_machines_alone(tmp_path: Path) -> None:
    """Those of others in the account are not ours; one whose time is not over would hide what is spent meanwhile."""
    rented = RentHome(tmp_path)
    rented.rent(hours_ago=3, lasted_h=1)
    desk = Desk(rented.store)
    runpod = Provider(
        build_charge(desk, "0.41"), build_charge(desk, "9", instance_id="another"), build_charge(desk, "7", hours=99)
    )
    assert fetch_bills(desk, {"runpod": runpod}, why_not={}) == ["runpod: 1 charges."]
    assert (desk.spend().usd, desk.spend().billed_usd) == (Decimal("0.41"), Decimal("0.41"))
    assert runpod.asked[0] == datetime.fromtimestamp(desk.lives()[0].stretches[0].begin_s, UTC) - BEFORE
    assert fetch_bills(desk, {"runpod": runpod}, why_not={}) == []
    assert len(runpod.asked) == 1


def test_who_cannot_be_asked_is_named(tmp_path: Path) -> None:
    """A connector's own reason, a failure, a provider that is not connected: each is said, and its estimate stays."""
    rented = RentHome(tmp_path)
    for name in ("lambdalabs", "runpod", "vastai"):
        rented.rent(f"r-20261126-101112-0000{name[:1].encode().hex()}", provider=name, hours_ago=3, lasted_h=1)
    desk = Desk(rented.store)
    before = desk.spend()
    notes = fetch_bills(
        desk, {"runpod": Provider(error=Unavailable("It does not answer."))}, why_not={"lambdalabs": "It has no call for them."}
    )  # fmt: skip
    assert notes == [
        "lambdalabs: It has no call for them.",
        "runpod did not say what it charged: It does not answer.",
        "vastai: not connected, so it cannot be asked what it charged.",
    ]
    assert desk.spend() == before
    assert before.is_estimate
