"""What a launch may cost and how long its machine may live, as people say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from peft_studio.core.errors import SpecError
from peft_studio.core.estimators import Estimate
from peft_studio.core.ports.offers import Offer

DAY_HOURS = 24.0
SHORTEST_HOURS = 0.1  # a machine needs minutes to boot and to save
LONGEST_HOURS = 24.0 * 30


@dataclass(frozen=True, slots=True)
class Caps:
    """``budget_usd``: None where none was named; the lifetime bounds the cost all the same."""

    lifetime_s: float
    budget_usd: Decimal | None

    def latest_s(self, offer: Offer) -> float:
        """How long a machine of this offer lives at most: no longer than its budget pays for."""
        if self.budget_usd is None or not offer.usd_per_hour:
            return self.lifetime_s
        return min(self.lifetime_s, float(self.budget_usd / offer.usd_per_hour * 3600))


def suggest_usd(offer: Offer, cost: Estimate | None) -> Decimal | None:
    """A cap that a run should not meet: the high end of what it may cost and the least that a machine is rented for, rounded up.

    None where the cost is not known: who confirms names it.
    """
    if not offer.usd_per_hour:
        return Decimal("0.00")
    if cost is None:
        return None
    amount = Decimal(cost.high) + offer.usd_per_hour * Decimal(str(SHORTEST_HOURS))
    step = Decimal("0.1") if amount < 10 else Decimal(1) if amount < 100 else Decimal(10)
    return ((amount / step).to_integral_value(ROUND_CEILING) * step).quantize(Decimal("0.01"))


def read_caps(offers: Sequence[Offer], *, max_usd: Decimal | float | str | None, max_hours: float | None) -> Caps:
    """Caps from arguments.

    Raises:
        SpecError: There is no offer, or a cap is no amount that a machine could be rented for.
    """
    if not offers:
        raise SpecError(
            "There is no offer to take.", hint="studio.offers() lists what is on sale.", fields=("compute",)
        )
    dearest = max(offer.usd_per_hour for offer in offers)
    usual = DAY_HOURS if dearest else LONGEST_HOURS  # what costs nothing may wait long for its turn
    hours = usual if max_hours is None else float(max_hours)
    if not SHORTEST_HOURS <= hours <= LONGEST_HOURS:
        raise SpecError(
            f"A machine can live from {SHORTEST_HOURS} to {LONGEST_HOURS:g} hours, not {max_hours}.", hint="24 is the default.",
            fields=("max_hours",),
        )  # fmt: skip
    try:
        budget = None if max_usd is None else Decimal(str(max_usd))
    except InvalidOperation as exc:
        raise SpecError(f"{max_usd!r} is no amount of dollars.", hint="max_usd=5", fields=("max_usd",)) from exc
    least = dearest * Decimal(str(SHORTEST_HOURS))
    if budget is not None and (not budget.is_finite() or budget < least):
        raise SpecError(
            f"${max_usd} does not pay for {SHORTEST_HOURS * 60:g} minutes of a machine at ${dearest}/h.",
            hint=f"Give it ${least:.2f} at least, or take a cheaper offer.", fields=("max_usd",),
        )  # fmt: skip
    return Caps(hours * 3600, budget)


def read_month_cap(usd: Decimal | float | str) -> Decimal:
    """Dollars of a month from what a person wrote.

    Raises:
        SpecError: It is no amount.
    """
    try:
        cap = Decimal(str(usd).strip().removeprefix("$"))
    except InvalidOperation as exc:
        raise SpecError(
            f"{usd!r} is no amount of dollars.", hint="studio.spend_cap = 50", fields=("spend_cap",)
        ) from exc
    if not cap.is_finite() or cap < 0:
        raise SpecError(
            f"{usd!r} is no amount that could be spent.", hint="None takes the cap away.", fields=("spend_cap",)
        )
    return cap
