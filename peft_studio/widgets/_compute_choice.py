"""Which machines the Compute panel lists, and in which order. Used under its owner's lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from peft_studio.core.compute.ranking import is_called
from peft_studio.core.errors import StudioError
from peft_studio.widgets._compute_view import NAME
from peft_studio.widgets._text import plain

if TYPE_CHECKING:
    from peft_studio.core.services.quotes import OfferQuote

PAGE = 30
SPOTS = {"": None, "no": False, "only": True}


def _seconds(row: OfferQuote) -> Any:
    return row.duration.value if row.duration else None


def _rate(row: OfferQuote) -> Any:
    return row.offer.usd_per_hour if row.offer else 0


def _start(row: OfferQuote) -> Any:
    return row.start.value if row.start else None if row.offer else 0


ORDERS: dict[str, Callable[[OfferQuote], Any]] = {"time": _seconds, "rate": _rate, "start": _start}
TOTAL = "total"  # the order that quotes come in


@dataclass(frozen=True)
class Filter:
    """What is wanted. This machine is always there, unless it is to fit and does not."""

    gpu: str = ""
    spot: str = ""
    provider: str = ""
    region: str = ""
    fits: bool = False

    def wants(self, row: OfferQuote) -> bool:
        """Whether a machine is listed."""
        offer = row.offer
        if self.fits and not row.fits:
            return False
        return offer is None or (
            (not self.gpu or is_called(offer.gpu, self.gpu))
            and (not self.provider or offer.provider == self.provider)
            and (not self.region or plain(offer.region or "", limit=NAME) == self.region)
            and SPOTS[self.spot] in (None, offer.spot)
        )

    @property
    def arguments(self) -> str:
        """As ``studio.quotes`` takes them; what fits is chosen afterwards."""
        given = {"gpu": self.gpu, "spot": SPOTS[self.spot], "provider": self.provider, "region": self.region}
        return "".join(f", {name}={value!r}" for name, value in given.items() if value not in ("", None))


@dataclass
class ComputeChoice:
    """Filter, order and how many rows are shown."""

    filter: Filter = field(default_factory=Filter)
    by: str = TOTAL
    descending: bool = False
    most: int = PAGE

    def narrow(self, **changes: Any) -> None:
        """Change the filter; the list begins anew."""
        changed = replace(self.filter, **changes)
        if changed.spot not in SPOTS or not all(
            isinstance(one, str) for one in (changed.gpu, changed.provider, changed.region)
        ):
            raise StudioError("That is no filter of this list.")
        self.filter, self.most = replace(changed, gpu=changed.gpu.strip()[:100], fits=bool(changed.fits)), PAGE

    def sort(self, by: str, *, descending: bool) -> None:
        """Change the order."""
        if by != TOTAL and by not in ORDERS:
            raise StudioError(f"There is no order {by!r}.")
        self.by, self.descending = by, descending

    def pick(self, rows: Sequence[OfferQuote]) -> list[OfferQuote]:
        """The machines wanted, in order; what is not known stands last either way."""
        wanted = [row for row in rows if self.filter.wants(row)]
        if self.by == TOTAL:
            known = [row for row in wanted if row.cost is not None or row.offer is None]
            rest = [row for row in wanted if not (row.cost is not None or row.offer is None)]
            return [*(known[::-1] if self.descending else known), *rest]
        value = ORDERS[self.by]
        known = sorted((row for row in wanted if value(row) is not None), key=value, reverse=self.descending)
        return [*known, *(row for row in wanted if value(row) is None)]
