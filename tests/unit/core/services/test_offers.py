"""Offers of all providers in one table: none delays the others, what does not come is from before and says how old it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from peft_studio.connectors.catalog import Catalog
from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import Unavailable
from peft_studio.core.offline.cache import Cache
from peft_studio.core.ports import Capability, Offer, OfferQuery, Offers, Role, Stock
from peft_studio.core.services.offers import OfferList, fetch_offers
from tests.unit.connectors.catalog import hostile
from tests.unit.connectors.catalog.hostile import Good, make_info

NO = dict.fromkeys((Capability.RENT, Capability.LOGS, Capability.INVOICE), "Not in this test.")
ANSWERS: dict[str, Callable[[OfferQuery], Offers]] = {}


def offer(provider: str, gpu: str, usd: str, **fields: Any) -> Offer:
    given = {
        "id": f"{gpu} {usd}",
        "gpu_count": 1,
        "gpu_memory_gib": 24.0,
        "stock": Stock.HIGH,
        "seen_at": datetime.now(UTC),
    }
    return Offer(provider=provider, gpu=gpu, usd_per_hour=Decimal(usd), **{**given, **fields})


def add_provider(monkeypatch: pytest.MonkeyPatch, name: str) -> Source:
    """A connector of which only the offers count: what ANSWERS has for it."""
    info = make_info(name, roles=(Role.COMPUTE,), connector=f"{hostile.__name__}:world_{name}")
    verbs = {"info": info, "unsupported": NO, "list_offers": lambda self, query: ANSWERS[name](query)}
    monkeypatch.setattr(hostile, f"world_{name}", type(name, (Good,), verbs), raising=False)
    return Source(name, "tests", lambda: info)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OfferList]:
    ANSWERS.clear()
    ANSWERS["one"] = lambda query: Offers(offers=(offer("one", "NVIDIA L4", "0.50"), offer("one", "NVIDIA A100 80GB PCIe", "1.64", gpu_memory_gib=80.0, stock=Stock.NONE)))  # fmt: skip
    ANSWERS["two"] = lambda query: Offers(offers=(offer("two", "L4", "0.40", spot=True, region="Oslo"), offer("two", "H100_SXM", "2.10", gpu_memory_gib=80.0)))  # fmt: skip
    catalog = Catalog(tmp_path, sources=[add_provider(monkeypatch, name) for name in ("one", "two")])
    cache = Cache(tmp_path / "cache")

    def fetch(*, deadline_s: float = 10.0, **query: Any) -> OfferList:
        return fetch_offers(catalog, ["one", "two"], OfferQuery(**query), cache=cache, deadline_s=deadline_s)

    return fetch


def test_all_in_one_table_the_cheapest_in_stock_first(ask: Callable[..., OfferList]) -> None:
    """Sold out ones at the end, and said so; text and HTML show what is known."""
    found = ask()
    assert [(one.provider, str(one.usd_per_hour)) for one in found] == [
        ("two", "0.40"),
        ("one", "0.50"),
        ("two", "2.10"),
        ("one", "1.64"),
    ]
    assert "sold out" in repr(found).splitlines()[-1]
    assert "just now" in repr(found)
    assert "<table" in found._repr_html_()
    assert len(found.to_pandas()) == 4


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"gpu": "L4"}, ["L4 0.40", "NVIDIA L4 0.50"]), ({"min_memory_gib": 40}, ["H100_SXM 2.10", "NVIDIA A100 80GB PCIe 1.64"]),
        ({"spot": False, "gpu": "l4"}, ["NVIDIA L4 0.50"]), ({"spot": True}, ["L4 0.40"]), ({"region": "oslo"}, ["L4 0.40"]), ({"gpu": "B200"}, []),
    ],
)  # fmt: skip
def test_what_was_not_asked_for_is_left_out(
    ask: Callable[..., OfferList], query: dict[str, Any], ids: list[str]
) -> None:
    """Whatever a connector answers with."""
    assert [one.id for one in ask(**query)] == ids


def test_sold_out_names_what_is_nearest_and_the_difference(ask: Callable[..., OfferList]) -> None:
    """Of any card, at any provider."""
    found = ask(gpu="A100")
    assert [one.offer.id for one in found.alternatives["one", "NVIDIA A100 80GB PCIe 1.64"]] == ["H100_SXM 2.10"]
    assert "is sold out. Nearest: H100_SXM at two (+$0.46 an hour)." in repr(found)


def test_a_hung_provider_delays_nobody(ask: Callable[..., OfferList], over: threading.Event) -> None:
    """What it said before comes in its place, with its age and the reason."""
    ask()

    def hang(query: OfferQuery) -> Offers:
        over.wait(30)
        return Offers(offers=())

    ANSWERS["one"] = hang
    began = time.monotonic()
    found = ask(deadline_s=20.0)
    assert time.monotonic() - began < 8
    assert {one.provider for one in found} == {"one", "two"}
    assert "because" in found.old["one"]
    assert found.missing == {}


def test_without_an_answer_or_anything_from_before_there_is_a_reason(ask: Callable[..., OfferList]) -> None:
    """The others' offers come all the same."""

    def fail(query: OfferQuery) -> Offers:
        raise Unavailable("One has trouble of its own.", hint="Wait.", platform="one")

    ANSWERS["one"] = fail
    found = ask()
    assert found.missing == {"one": "One has trouble of its own."}
    assert "one: One has trouble of its own." in repr(found)
    assert len(found) == 2
