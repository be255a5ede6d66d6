"""What is tried where the chosen machine does not start: the same run, no worse a machine, within the cap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from peft_studio.core.errors import NotReadyError
from peft_studio.core.estimators import Estimate
from peft_studio.core.ports import Offer, Stock
from peft_studio.core.services.next_best import MOST, check_devices, find_next_best
from peft_studio.core.services.quotes import OfferQuote
from peft_studio.core.spec import RunSpec
from tests.unit.core.runs.conftest import build_spec

FIELDS = dict.fromkeys(RunSpec.model_fields)


@dataclass
class Row:
    """A quote of a machine at so many dollars in all."""

    id: str
    usd: float = 1.0
    high: float = 1.2
    fit: str = "ok"
    precision: str = "bf16"
    unknown: bool = False

    def build(self, **offer: Any) -> OfferQuote:
        """The quote."""
        given = {"provider": "p", "gpu": "NVIDIA L4", "gpu_count": 1, "ends_itself": True, "stock": Stock.HIGH, **offer}
        sold = Offer(id=self.id, usd_per_hour=Decimal("0.5"), seen_at=datetime.now(UTC), **given)
        cost = None if self.unknown else Estimate(self.usd, self.usd / 2, self.high, "usd", "")
        spec = SimpleNamespace(**{**FIELDS, "precision": self.precision})
        return OfferQuote("p", cast(Any, spec), sold, cast(Any, SimpleNamespace(fit=self.fit)), cost=cost)


CHOSEN = Row("chosen").build()


def ids(*rows: OfferQuote, chosen: OfferQuote = CHOSEN, budget_usd: str = "2") -> list[str]:
    """Which of these are tried."""
    return [one.offer.id for one in find_next_best(chosen, [chosen, *rows], budget_usd=Decimal(budget_usd))]


def test_the_best_after_it_with_the_difference() -> None:
    """In the order of the quotes, the chosen one left out, no more than are read."""
    rows = [Row(f"n{at}", usd=1 + at / 10, high=1.5 + at / 2).build() for at in range(5)]
    found = find_next_best(CHOSEN, [*rows[:2], CHOSEN, *rows[2:]], budget_usd=Decimal(2))
    assert [one.offer.id for one in found] == ["n0", "n1", "n2"][:MOST]
    assert [f"{one.more_usd:.2f}" for one in found] == ["0.00", "0.10", "0.20"]
    assert [one.may_meet_cap for one in found] == [False, False, True]


@pytest.mark.parametrize(
    ("row", "offer"),
    [
        (Row("dear", usd=2.1, high=3), {}),
        (Row("unknown", unknown=True), {}),
        (Row("small", fit="wont-fit"), {}),
        (Row("another run", precision="fp32"), {}),
        (Row("sold out"), {"stock": Stock.NONE}),
        (Row("several"), {"gpu_count": 2}),
        (Row("spot"), {"spot": True}),
        (Row("endless"), {"ends_itself": False}),
        (Row("full cluster"), {"queues": True, "stock": Stock.UNKNOWN}),
    ],
    ids=lambda one: one.id if isinstance(one, Row) else "",
)
def test_what_is_never_tried(row: Row, offer: dict[str, Any]) -> None:
    """Dearer than the cap, not known to fit, another run, or worse in kind than what was chosen."""
    assert ids(row.build(**offer)) == []


def test_what_is_no_worse_than_what_was_chosen() -> None:
    """After a spot machine another may follow, and after one that cannot end itself any."""
    spot = Row("chosen").build(spot=True)
    assert ids(Row("spot").build(spot=True), Row("safe").build(), chosen=spot) == ["spot", "safe"]
    endless = Row("chosen").build(ends_itself=False)
    assert ids(Row("endless").build(ends_itself=False), Row("able").build(), chosen=endless) == ["endless", "able"]


def test_nothing_is_next_to_what_costs_nobody_knows_what() -> None:
    """No difference could be said."""
    assert ids(Row("one").build(), chosen=replace(CHOSEN, cost=None)) == []


@pytest.mark.parametrize(
    ("chosen", "machines", "why"),
    [
        ({"sharding": "fsdp", "quantization": None}, ((4, 1), (1, 1)), "over several devices, and there is one"),
        ({"sharding": "fsdp", "quantization": None}, ((4, 1), (2, 1)), ""),
        ({"processes": 4}, ((4, 1), (2, 1)), "4 training processes were asked for"),
        ({"processes": 4}, ((4, 1), (2, 2)), ""),
        ({"processes": 2}, ((0, 2),), ""),
        ({}, ((4, 1), (1, 1), (0, 1)), ""),
    ],
)
def test_every_machine_that_may_be_tried_has_the_devices(
    chosen: dict[str, Any], machines: tuple[tuple[int, int], ...], why: str
) -> None:
    """What the first one's spec needs is known before the second one is paid for."""
    spec = build_spec().model_copy(update=chosen)
    offers = [
        Row("one").build(gpu_count=count, machines=many, gpu="NVIDIA L4" if count else None).offer
        for count, many in machines
    ]
    if not why:
        check_devices(spec, cast(Any, offers))
        return
    with pytest.raises(NotReadyError, match=why):
        check_devices(spec, cast(Any, offers))
