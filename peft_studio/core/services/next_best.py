"""Which machines to try where the one that was chosen does not start: pure rules over quotes. Buys nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from peft_studio.core.errors import NotReadyError, SpecError
from peft_studio.core.estimators.parallel import Devices, choose_layout
from peft_studio.core.ports.offers import Offer, Stock
from peft_studio.core.services.quotes import OfferQuote, changes
from peft_studio.core.spec import RunSpec

MOST = 3  # that are worth reading before one agrees to them


@dataclass(frozen=True, slots=True)
class NextBest:
    """A machine in the place of the chosen one.

    Attributes:
        more_usd: Than the chosen one for this run; negative where it costs less.
        may_meet_cap: Whether the high end of its cost lies above the cap.
    """

    row: OfferQuote
    more_usd: Decimal
    may_meet_cap: bool

    @property
    def offer(self) -> Offer:
        """What is on sale."""
        assert self.row.offer is not None
        return self.row.offer


def find_next_best(
    chosen: OfferQuote, rows: Iterable[OfferQuote], *, budget_usd: Decimal, most: int = MOST
) -> tuple[NextBest, ...]:
    """The best of ``rows`` after ``chosen``, in their order: to be had, the very same run there, about as dear as the cap at most.

    None is worse in kind than what was chosen: taken away at any moment, or unable to end itself. None is a place on a full cluster.
    """
    if chosen.cost is None:
        return ()
    spent = Decimal(chosen.cost.value)
    found = [
        NextBest(row, Decimal(row.cost.value) - spent, Decimal(row.cost.high) > budget_usd)
        for row in rows
        if row.cost and Decimal(row.cost.value) <= budget_usd and _is_as_good(row, chosen)
    ]
    return tuple(found[:most])


def check_devices(spec: RunSpec, offers: Iterable[Offer]) -> None:
    """Whether a spec has the devices that it needs on each of them.

    Raises:
        NotReadyError: It has not on one, and would fail there once that is paid for.
    """
    for offer in offers:
        count = max(1, offer.gpu_count) * offer.machines
        try:
            choose_layout(spec, None, Devices("cuda" if offer.gpu_count else "cpu", count))
        except SpecError as error:
            raise NotReadyError(
                f"The run cannot go on {offer.gpu or 'a CPU'} of {offer.provider} as it is to go: {error.message}",
                hint="Launch it on offers with as many GPUs each. Nothing was rented.", fields=("compute",),
            ) from error  # fmt: skip


def _is_as_good(row: OfferQuote, chosen: OfferQuote) -> bool:
    one, wanted = row.offer, chosen.offer
    return (
        one is not None
        and wanted is not None
        and (one.provider, one.id) != (wanted.provider, wanted.id)
        and row.fits
        and row.is_to_be_had
        and one.gpu_count == wanted.gpu_count
        and (wanted.spot or not one.spot)
        and (one.ends_itself or not wanted.ends_itself)
        and not (one.queues and one.stock is Stock.UNKNOWN)  # it would wait in line, and the next would never be tried
        and not changes(chosen.spec, row.spec)
    )
