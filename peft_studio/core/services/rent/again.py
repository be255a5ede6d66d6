"""With which caps a run goes on on another machine: what stands, what was said anew, and whether that pays for one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from peft_studio.core.errors import OverBudget
from peft_studio.core.ports.offers import Offer
from peft_studio.core.services.rent.caps import SHORTEST_HOURS, Caps, read_life_s, read_usd, round_up
from peft_studio.core.services.rent.record import KEEP_S, Intent
from peft_studio.core.words import usd

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class NewCaps:
    """What is said anew; None stays as it was. ``max_usd``: over all that the run ever cost. ``max_hours``: of the next machine."""

    max_usd: Decimal | float | str | None = None
    max_hours: float | None = None


AS_BEFORE = NewCaps()


def read_again(last: Intent, new: NewCaps, *, spent_usd: Decimal) -> Caps:
    """The caps of a run that goes on. ``last``: its last attempt.

    Raises:
        OverBudget: Its cap is not above what it has cost, or leaves less than a machine needs to do anything.
        SpecError: What was said anew is no cap.
    """
    said = None if new.max_usd is None else read_usd(new.max_usd)
    budget = last.budget_usd if said is None else said
    life_s = last.wanted_life_s if new.max_hours is None else read_life_s(new.max_hours)
    if budget is not None:
        check_cap(budget, last.run_id, spent_usd=spent_usd, usd_per_hour=dearest(last.offers), is_new=said is not None)
    return Caps(life_s, budget, last.keep_s, last.idle_s)


def check_cap(budget: Decimal, run_id: str, *, spent_usd: Decimal, usd_per_hour: Decimal, is_new: bool) -> None:
    """Whether a cap, over all that a run ever cost, pays for another machine.

    Raises:
        OverBudget: It does not; says the least that does.
    """
    least = least_usd(spent_usd, usd_per_hour)
    if not usd_per_hour or budget >= least:
        return
    minutes = f"{SHORTEST_HOURS * 60:g} minutes of a machine at ${usd_per_hour}/h"
    if not is_new:
        raise OverBudget(
            f"Run {run_id} has cost {usd(spent_usd)} of the {usd(budget)} that it may cost, and what is left does not pay for {minutes}.",
            hint=f"Raise its cap: run.resume(max_usd=…). It counts what the run has cost already, so ${least} or more.", fields=("max_usd",),
        )  # fmt: skip
    left = "is not above that" if budget <= spent_usd else f"does not pay for {minutes} on top of that"
    raise OverBudget(
        f"Run {run_id} has cost {usd(spent_usd)}. max_usd is its cap in all, and ${budget} {left}.",
        hint=f"Give it ${least} or more: run.resume(max_usd={least}).", fields=("max_usd",),
    )  # fmt: skip


def dearest(offers: Sequence[Offer]) -> Decimal:
    """Dollars an hour of the dearest machine on which it may go on."""
    return max((offer.usd_per_hour for offer in offers), default=Decimal(0))


def least_usd(spent_usd: Decimal, usd_per_hour: Decimal) -> Decimal:
    """The lowest cap in all with which a run can go on, in whole cents."""
    return (spent_usd + usd_per_hour * Decimal(str(SHORTEST_HOURS))).quantize(_CENT, ROUND_CEILING)


def suggest_again_usd(
    spent_usd: Decimal, usd_per_hour: Decimal, *, share: float | None, cap_usd: Decimal | None
) -> Decimal:
    """A cap in all that the rest of a run should not meet, rounded up: what it has cost, the rest at that rate and a quarter more, minutes
    to start, and the time for which its machine waits when nobody is at home at its end.

    Args:
        share: How much of the run is done and kept. None or 0: nobody knows, and as much again as its cap, or as it has cost, is proposed.
    """
    if share:
        rest = spent_usd * Decimal(str((1 - share) / share)) * Decimal("1.25")
    else:
        rest = max(cap_usd or Decimal(0), spent_usd)
    waiting = usd_per_hour * (Decimal(str(SHORTEST_HOURS)) + Decimal(str(KEEP_S)) / 3600)
    return round_up(spent_usd + rest + waiting)
