"""What a launch may cost and how long its machine may live, as people say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from peft_studio.core.errors import SpecError
from peft_studio.core.estimators import Estimate
from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.rent.record import IDLE_S, KEEP_S
from peft_studio.core.words import duration

DAY_HOURS = 24.0
SHORTEST_HOURS = 0.1  # a machine needs minutes to boot and to save
LONGEST_HOURS = 24.0 * 30
HIGHEST_USD = Decimal(1_000_000)  # a slip of the hand is likelier than a wish beyond it
SHORTEST_KEEP_S = 600.0  # a lease: a line that breaks is not given up sooner either
SHORTEST_IDLE_S = 300.0  # loading a large model takes minutes in which a GPU has nothing to do


@dataclass(frozen=True, slots=True)
class Caps:
    """What one launch agrees to.

    Attributes:
        budget_usd: None where none was named; the lifetime bounds the cost all the same.
        keep_s: How long a machine whose run has ended waits for its files to be fetched. It is paid for, within both caps.
        idle_s: After so long without work for the GPU it is stopped and saved; None: never.
    """

    lifetime_s: float
    budget_usd: Decimal | None
    keep_s: float = KEEP_S
    idle_s: float | None = IDLE_S

    def keep_usd(self, offer: Offer) -> Decimal:
        """What the waiting costs at most."""
        return offer.usd_per_hour * Decimal(str(self.keep_s)) / 3600

    def latest_s(self, offer: Offer) -> float:
        """How long a machine of this offer lives at most: no longer than its budget pays for."""
        if self.budget_usd is None or not offer.usd_per_hour:
            return self.lifetime_s
        return min(self.lifetime_s, float(self.budget_usd / offer.usd_per_hour * 3600))


def suggest_usd(offer: Offer, cost: Estimate | None) -> Decimal | None:
    """A cap that a run should not meet: the high end of what it may cost, the least that a machine is rented for, and the time for which
    it waits when nobody is at home at its end; rounded up.

    None where the cost is not known: who confirms names it.
    """
    if not offer.usd_per_hour:
        return Decimal("0.00")
    if cost is None:
        return None
    amount = Decimal(cost.high) + offer.usd_per_hour * (Decimal(str(SHORTEST_HOURS)) + Decimal(str(KEEP_S)) / 3600)
    return round_up(amount)


def round_up(amount: Decimal) -> Decimal:
    """Dollars in steps that a person would choose."""
    step = Decimal("0.1") if amount < 10 else Decimal(1) if amount < 100 else Decimal(10)
    return ((amount / step).to_integral_value(ROUND_CEILING) * step).quantize(Decimal("0.01"))


def read_caps(
    offers: Sequence[Offer], *, max_usd: Decimal | float | str | None, max_hours: float | None,
    keep_minutes: float = KEEP_S / 60, idle_minutes: float | None = IDLE_S / 60,
) -> Caps:  # fmt: skip
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
    life_s = read_life_s(usual if max_hours is None else max_hours)
    budget = None if max_usd is None else read_usd(max_usd)
    least = dearest * Decimal(str(SHORTEST_HOURS))
    if budget is not None and budget < least:
        raise SpecError(
            f"${max_usd} does not pay for {SHORTEST_HOURS * 60:g} minutes of a machine at ${dearest}/h.",
            hint=f"Give it ${least:.2f} at least, or take a cheaper offer.", fields=("max_usd",),
        )  # fmt: skip
    caps = Caps(life_s, budget, _read_keep_s(keep_minutes), _read_idle_s(idle_minutes))
    longer_s = caps.keep_s - KEEP_S  # by default what is left of a short life has to do
    if longer_s > 0 and any(caps.latest_s(offer) < caps.keep_s + SHORTEST_HOURS * 3600 for offer in offers):
        raise SpecError(
            f"A machine that waits {duration(caps.keep_s)} after its run, at ${dearest}/h, needs ${caps.keep_usd(max(offers, key=_price)):.2f}"
            " for that alone, and minutes to train.",
            hint="Raise max_usd and max_hours, or let it wait less.", fields=("keep_minutes",),
        )  # fmt: skip
    return caps


def read_life_s(max_hours: float) -> float:
    """Seconds that a machine may live.

    Raises:
        SpecError: It is too little to do anything in, or more than anybody means.
    """
    if not SHORTEST_HOURS <= _number(max_hours) <= LONGEST_HOURS:
        raise SpecError(
            f"A machine can live from {SHORTEST_HOURS} to {LONGEST_HOURS:g} hours, not {max_hours}.", hint="24 is the default.",
            fields=("max_hours",),
        )  # fmt: skip
    return float(max_hours) * 3600


def read_usd(max_usd: Decimal | float | str) -> Decimal:
    """A run's cap in dollars from what a person wrote.

    Raises:
        SpecError: It is no amount.
    """
    try:
        budget = Decimal(str(max_usd).strip().removeprefix("$"))
    except InvalidOperation as exc:
        raise SpecError(f"{max_usd!r} is no amount of dollars.", hint="max_usd=5", fields=("max_usd",)) from exc
    if not budget.is_finite() or budget < 0:
        raise SpecError(f"{max_usd!r} is no amount that a run could cost.", hint="max_usd=5", fields=("max_usd",))
    _require_sane(budget, "A run's cap", hint="max_usd=5", field="max_usd")
    return budget


def _number(given: float) -> float:
    """What a person gave as a number; what is none is no length of time, and so in no range."""
    try:
        return float(given)
    except (TypeError, ValueError):
        return float("nan")


def _price(offer: Offer) -> Decimal:
    return offer.usd_per_hour


def _read_keep_s(minutes: float) -> float:
    if not SHORTEST_KEEP_S <= _number(minutes) * 60 <= LONGEST_HOURS * 3600:
        raise SpecError(
            f"A machine can wait from {SHORTEST_KEEP_S / 60:g} minutes to {LONGEST_HOURS:g} hours for its files to be fetched, not {minutes}.",
            hint="15 is the default. It is paid for meanwhile.", fields=("keep_minutes",),
        )  # fmt: skip
    return float(minutes) * 60


def _read_idle_s(minutes: float | None) -> float | None:
    if minutes is not None and not SHORTEST_IDLE_S <= _number(minutes) * 60 <= LONGEST_HOURS * 3600:
        raise SpecError(
            f"A GPU can idle from {SHORTEST_IDLE_S / 60:g} minutes to {LONGEST_HOURS:g} hours before somebody is warned, not {minutes}.",
            hint="60 is the default; None turns it off.", fields=("idle_minutes",),
        )  # fmt: skip
    return None if minutes is None else float(minutes) * 60


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
    _require_sane(cap, "The cap of a month", hint="None takes the cap away.", field="spend_cap")
    return cap


def _require_sane(amount: Decimal, what: str, *, hint: str, field: str) -> None:
    if amount > HIGHEST_USD:
        raise SpecError(f"{what} is ${HIGHEST_USD:,} at most, not ${amount:,g}.", hint=hint, fields=(field,))
